package user

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/patchobject"
)

// version makes a patch that replaces functions by those of a version.
func version(t testing.TB, program string, number int, funcs ...string) *patchobject.Object {
	f := pie
	f.compile = append(slices.Clone(pie.compile), fmt.Sprintf("-DVERSION=%d", number))
	return f.patch(t, program, "version.c", funcs...)
}

var pairOfFunctions = []string{"first", "second", "both"}

// stackOf is what a process should hold.
type stackOf struct {
	t       *testing.T
	r       *running
	text    []byte
	patches []*patchobject.Object
	funcs   [][]string
	there   []bool // loaded
	active  []int  // in the order of activation
}

// newest is the version of a function.
func (s *stackOf) newest(name string) int64 {
	for _, i := range slices.Backward(s.active) {
		if slices.Contains(s.funcs[i], name) {
			return int64(i + 1)
		}
	}
	return 0
}

func (s *stackOf) drop(i int) {
	s.active = slices.DeleteFunc(s.active, func(k int) bool { return k == i })
}

// check compares the process with what it should be.
func (s *stackOf) check(step string) {
	s.t.Helper()
	s.r.eventually("last", s.newest("both"))
	s.r.eventually("last_alone", s.newest("alone"))
	s.r.runsOn()
	list, err := Applied(context.Background(), s.r.PID)
	require.NoError(s.t, err)
	order := []int{}
	for _, a := range list {
		i := slices.IndexFunc(s.patches, func(o *patchobject.Object) bool { return o.Info.UUID == a.UUID })
		want := Removed
		switch {
		case slices.Contains(s.active, i):
			want = Active
			order = append(order, i)
		case s.there[i]:
			require.Contains(s.t, []State{Loaded, Inactive}, a.State, step)
			continue
		}
		require.Equal(s.t, want, a.State, "patch %d after %s", i+1, step)
	}
	require.Equal(s.t, s.active, order, "order of activation after %s", step)
	if len(s.active) == 0 {
		s.r.pristine(s.text)
	}
}

func newStack(t *testing.T, threads string) *stackOf {
	program := pie.program(t, "stack.c")
	s := &stackOf{t: t, r: start(t, program, threads)}
	s.text = s.r.text()
	s.active = []int{}
	for i, funcs := range [][]string{pairOfFunctions, pairOfFunctions, {"alone"}, append(slices.Clone(pairOfFunctions), "alone"), append(slices.Clone(pairOfFunctions), "alone")} {
		s.patches = append(s.patches, version(t, program, i+1, funcs...))
		s.funcs = append(s.funcs, funcs)
	}
	s.there = make([]bool, len(s.patches))
	return s
}

// Patches come and go in any order, also from under others; the newest one wins.
func TestStackedPatches(t *testing.T) {
	ctx := context.Background()
	s := newStack(t, "6")
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		i := random.IntN(len(s.patches))
		id := s.patches[i].Info.UUID
		step, err := "", error(nil)
		switch active := slices.Contains(s.active, i); {
		case active && random.IntN(2) == 0:
			step = fmt.Sprintf("deactivation of %d", i+1)
			_, err = Deactivate(ctx, s.r.Process, id, Options{})
			s.drop(i)
		case active:
			step = fmt.Sprintf("removal of %d", i+1)
			_, err = Remove(ctx, s.r.Process, id, Options{})
			s.drop(i)
			s.there[i] = false
		case s.there[i] && random.IntN(3) == 0:
			step = fmt.Sprintf("removal of the inactive %d", i+1)
			_, err = Remove(ctx, s.r.Process, id, Options{})
			s.there[i] = false
		case len(s.active) > 0 && random.IntN(2) == 0:
			old := s.active[random.IntN(len(s.active))]
			step = fmt.Sprintf("replacement of %d by %d", old+1, i+1)
			_, err = Replace(ctx, s.r.Process, s.patches[i], s.patches[old].Info.UUID, Options{})
			s.drop(old)
			s.there[old], s.there[i] = false, true
			s.active = append(s.active, i)
		default:
			step = fmt.Sprintf("application of %d", i+1)
			_, err = Apply(ctx, s.r.Process, s.patches[i], Options{})
			s.there[i] = true
			s.active = append(s.active, i)
		}
		require.NoError(t, err, step)
		s.check(step)
	}
	for len(s.active) > 0 {
		_, err := Remove(ctx, s.r.Process, s.patches[s.active[0]].Info.UUID, Options{})
		require.NoError(t, err)
		s.there[s.active[0]] = false
		s.drop(s.active[0])
		s.check("the end")
	}
}

// A transaction on one of several stacked patches dies anywhere between two
// jumps; what the process holds is put right by whoever looks next.
func TestStackedPatchesSurviveOurDeath(t *testing.T) {
	ctx := context.Background()
	for _, row := range []struct {
		name           string
		on, replacing  bool
		state, retired State // afterwards
		version        int64
	}{
		{name: "activation", on: true, state: Inactive, version: 1},
		{name: "deactivation of the newest", state: Inactive, version: 1},
		{name: "replacement", on: true, replacing: true, state: Active, retired: Inactive, version: 2},
	} {
		for jumps := range len(pairOfFunctions) + 1 {
			t.Run(fmt.Sprintf("%s, %d jumps written", row.name, jumps), func(t *testing.T) {
				s := newStack(t, "4")
				_, err := Apply(ctx, s.r.Process, s.patches[0], Options{})
				require.NoError(t, err)
				if !row.on {
					_, err = Apply(ctx, s.r.Process, s.patches[1], Options{})
					require.NoError(t, err)
				}
				s.dieIn(row.on, row.replacing, jumps)
				require.NoError(t, Repair(ctx, s.r.Process))
				s.r.eventually("last", row.version)
				s.r.runsOn()
				list, err := Applied(ctx, s.r.PID)
				require.NoError(t, err)
				states := map[string]State{}
				for _, a := range list {
					states[a.UUID] = a.State
				}
				require.Equal(t, row.state, states[s.patches[1].Info.UUID])
				if row.replacing {
					require.Equal(t, row.retired, states[s.patches[0].Info.UUID])
				} else {
					require.Equal(t, Active, states[s.patches[0].Info.UUID])
				}
				for _, o := range s.patches[:2] {
					_, err = Remove(ctx, s.r.Process, o.Info.UUID, Options{})
					require.NoError(t, err)
				}
				s.r.pristine(s.text)
			})
		}
	}
}

var errDied = errors.New("died")

// dieIn begins a transaction on the second patch and leaves off.
func (s *stackOf) dieIn(on, replacing bool, jumps int) {
	t := s.t
	_, err := within(context.Background(), s.r.Process, Options{}, func(session *session) error {
		h, err := session.region(s.patches[1].Info.UUID)
		if errors.Is(err, ErrNotApplied) {
			h, _, err = session.load(context.Background(), s.patches[1])
		}
		require.NoError(t, err)
		w := &switcher{session: session, head: h, during: Deactivating}
		if on {
			w.during = Activating
		}
		if replacing {
			w.during = Replacing
			w.retired, err = session.region(s.patches[0].Info.UUID)
			require.NoError(t, err)
		}
		_, err = w.plan(on)
		require.NoError(t, err)
		require.Len(t, w.edits, len(pairOfFunctions))
		return session.stopped(func(*tracer) error {
			require.NoError(t, h.setState(session.mem, w.during))
			if replacing {
				require.NoError(t, w.retired.setState(session.mem, Deactivating))
			}
			for i, e := range w.edits[:jumps] {
				torn := e.new
				if i == jumps-1 { // the last is not whole
					torn = append(slices.Clone(e.new[:2]), e.old[2:]...)
				}
				require.NoError(t, session.mem.write(torn, e.at))
			}
			return errDied
		})
	})
	require.ErrorIs(t, err, errDied)
}
