package user

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/openeuler/syscare/engine/patchobject"
)

// runWorker is a program that gets killed: in a loop that applies and removes
// a patch, or by itself at one place.
func runWorker(spec string) {
	var pid int
	var path, where string
	must := func(err error) {
		if err != nil {
			fmt.Println("worker:", err)
			os.Exit(2)
		}
	}
	if programs, ok := strings.CutPrefix(spec, "stack "); ok {
		must(stackForEver(programs))
	}
	if how, program, ok := strings.Cut(spec, " "); ok && (how == "watch" || how == "stuck") {
		must(watchAs(how, program))
	}
	_, err := fmt.Sscanf(spec, "%d %s %s", &pid, &path, &where)
	must(err)
	obj, err := patchobject.Load(path)
	must(err)
	p, err := Open(pid)
	must(err)
	ctx := context.Background()
	if where != "loop" {
		dieAt(ctx, where, p, obj, must)
	}
	fmt.Println("go")
	for {
		_, _ = Apply(ctx, p, obj, Options{})
		_, _ = Remove(ctx, p, obj.Info.UUID, Options{})
	}
}

func dieNow() error {
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	select {}
}

// dieAt goes as far as one place of a transaction and dies there.
func dieAt(ctx context.Context, where string, p Process, obj *patchobject.Object, must func(error)) {
	if where == "deactivating" {
		_, err := Apply(ctx, p, obj, Options{})
		must(err)
	}
	s, err := openSession(ctx, p, Options{})
	must(err)
	if where == "activating" || where == "deactivating" {
		h, err := s.region(obj.Info.UUID)
		if err != nil {
			h, _, err = s.load(ctx, obj)
		}
		must(err)
		must(s.watched())
		w := &switcher{session: s, head: h}
		_, err = w.plan(where == "activating")
		must(err)
		must(s.stopped(func(*tracer) error {
			state := Deactivating
			if where == "activating" {
				state = Activating
			}
			must(h.setState(s.mem, state))
			for _, e := range w.edits[:len(w.edits)/2] {
				must(s.mem.write(e.new, e.at))
			}
			return dieNow()
		}))
	}
	maps, all, err := s.regions()
	must(err)
	l := &loader{session: s, obj: obj, head: &header{state: Loading, target: obj.Info.TargetID}}
	must(l.prepare(maps, all))
	base, ok := place(maps, span{l.target.lo, l.target.hi - l.target.lo}, l.layout.rxSize+l.layout.rwSize, minAddress())
	if !ok {
		must(ErrNoRoom{})
	}
	encoded, err := l.bind(base)
	must(err)
	must(s.watched(l.head.rx, l.head.rw))
	must(s.borrow(func(r *remote) error {
		switch where {
		case "entered":
			return dieNow()
		case "mapped":
			must(r.mapAt(l.head.rx.at, l.head.rx.size, unix.PROT_READ|unix.PROT_EXEC))
			return dieNow()
		case "at-syscall":
			must(r.advance(unix.PTRACE_SYSCALL, true))
			return dieNow()
		}
		must(l.mapRegions(r, encoded))
		return dieNow()
	}))
}

type worker struct {
	cmd *exec.Cmd
	out *os.File
}

func startWorker(t *testing.T, r *running, object []byte, where string) worker {
	path := filepath.Join(t.TempDir(), "object")
	require.NoError(t, os.WriteFile(path, object, 0o600))
	in, out, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { in.Close() })
	w := worker{cmd: exec.Command("/proc/self/exe"), out: in}
	w.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s %s", workerVariable, r.PID, path, where))
	w.cmd.Stdout, w.cmd.Stderr = out, os.Stderr
	require.NoError(t, w.cmd.Start())
	out.Close()
	return w
}

// settled says that the process holds nothing unfinished.
func (r *running) settled() bool {
	list, err := Applied(context.Background(), r.PID)
	require.NoError(r.t, err)
	for _, a := range list {
		if a.State.transitional() {
			return false
		}
	}
	entry, err := readEntry(r.Process)
	require.NoError(r.t, err)
	stubbed, err := entry.stubbed(memory{fd: int(r.mem.Fd())})
	require.NoError(r.t, err)
	return !stubbed
}

// The guard alone puts the target right; nobody else looks.
func TestGuardRepairs(t *testing.T) {
	program := pie.program(t, "target.c")
	for _, tc := range []struct {
		where string
		state State
	}{
		{"entered", 0},
		{"at-syscall", 0},
		{"mapped", 0},
		{"marked", 0},
		{"activating", Inactive},
		{"deactivating", Inactive},
	} {
		t.Run(tc.where, func(t *testing.T) {
			r := start(t, program, "calm", "4")
			text := r.text()
			executable := len(executables(t, r))
			w := startWorker(t, r, pie.patchBytes(t, program, "patch.c", everything...), tc.where)
			err := w.cmd.Wait()
			require.Equal(t, syscall.SIGKILL, err.(*exec.ExitError).Sys().(syscall.WaitStatus).Signal())
			began := time.Now()
			require.Eventually(t, func() bool {
				return r.settled() && (tc.state != 0 || len(executables(t, r)) == executable)
			}, 3*time.Second, time.Millisecond)
			t.Logf("repaired after %v", time.Since(began))
			require.Equal(t, tc.state, state(t, r.Process))
			r.pristine(text)
			r.runsOn()
			r.eventually("last", 1)
			// A guard may still be looking; nobody minds another transaction.
			obj := pie.patch(t, program, "patch.c", everything...)
			_, err = Apply(context.Background(), r.Process, obj, Options{})
			require.NoError(t, err)
			r.eventually("last", 1000)
		})
	}
}

func executables(t *testing.T, r *running) []mapping {
	data, err := os.ReadFile(r.path("maps"))
	require.NoError(t, err)
	maps, err := parseMaps(data, nil)
	require.NoError(t, err)
	var all []mapping
	for _, m := range maps {
		if isRegion(m) {
			all = append(all, m)
		}
	}
	return all
}

// A worker is killed at random moments of its transactions.
func TestKilledAtAnyMoment(t *testing.T) {
	ctx := context.Background()
	program := pie.program(t, "target.c")
	var r *running
	var text, object []byte
	began := time.Now()
	seen := map[string]int{}
	for i := range *kills {
		if i%22 == 0 {
			r = start(t, program, []string{"calm", "mixed"}[i/22%2], "3")
			text = r.text()
		}
		if i%3 == 0 { // a new patch has to be mapped, an old one is there
			object = pie.patchBytes(t, program, "patch.c", everything...)
		}
		w := startWorker(t, r, object, "loop")
		_, err := w.out.Read(make([]byte, 1))
		require.NoError(t, err)
		time.Sleep(rand.N(60 * time.Millisecond))
		require.NoError(t, w.cmd.Process.Kill())
		_ = w.cmd.Wait()
		if !r.settled() {
			seen["unfinished"]++
		}
		require.Eventually(t, r.settled, 5*time.Second, time.Millisecond, "the guard did not repair")
		require.NoError(t, Repair(ctx, r.Process))
		r.runsOn()
		list, err := Applied(ctx, r.PID)
		require.NoError(t, err)
		for _, a := range list {
			seen[a.State.String()]++
			for _, f := range a.Functions {
				require.Equal(t, a.State == Active, f.Redirect)
			}
			if a.State != Removed {
				_, err = Remove(ctx, r.Process, a.UUID, Options{})
				require.NoError(t, err)
			}
		}
		r.pristine(text)
	}
	t.Logf("%d moments in %v, states afterwards: %s", *kills, time.Since(began), fmt.Sprint(seen))
}

// A thread that is never out of the function in question is led all the time; we
// are killed meanwhile, and the guard with us.
func TestKilledWhileLeading(t *testing.T) {
	program := pie.program(t, "target.c")
	r := start(t, program, "spin")
	text := r.text()
	object := pie.patchBytes(t, program, "spin.c", "spin")
	for range *kills / 4 {
		w := startWorker(t, r, object, "loop")
		_, err := w.out.Read(make([]byte, 1))
		require.NoError(t, err)
		time.Sleep(20*time.Millisecond + rand.N(60*time.Millisecond)) // the second stop leads
		killWithGuards(t, w.cmd.Process.Pid)
		_ = w.cmd.Wait()
		r.runsOn()
		require.NoError(t, Repair(context.Background(), r.Process))
		r.pristine(text)
	}
}

// killWithGuards kills a process and its children at once, as the end of a
// service does.
func killWithGuards(t *testing.T, pid int) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	require.NoError(t, err)
	var children []byte
	for _, list := range lists {
		some, _ := os.ReadFile(list) // of a thread that may be gone
		children = append(children, some...)
	}
	require.NoError(t, unix.Kill(pid, unix.SIGKILL))
	for _, child := range strings.Fields(string(children)) {
		n, err := strconv.Atoi(child)
		require.NoError(t, err)
		if err := unix.Kill(n, unix.SIGKILL); err != nil {
			require.ErrorIs(t, err, unix.ESRCH)
		}
	}
}

// stackForEver moves two patches of one program at random; the arguments are the
// PID and the paths of the patches.
func stackForEver(spec string) error {
	var pid int
	var paths [2]string
	if _, err := fmt.Sscanf(spec, "%d %s %s", &pid, &paths[0], &paths[1]); err != nil {
		return err
	}
	p, err := Open(pid)
	if err != nil {
		return err
	}
	var patches [2]*patchobject.Object
	for i, path := range paths {
		if patches[i], err = patchobject.Load(path); err != nil {
			return err
		}
	}
	ctx := context.Background()
	fmt.Println("go")
	for {
		i := rand.IntN(2)
		id := patches[i].Info.UUID
		switch rand.IntN(4) { // what cannot be is refused
		case 0:
			_, _ = Apply(ctx, p, patches[i], Options{})
		case 1:
			_, _ = Deactivate(ctx, p, id, Options{})
		case 2:
			_, _ = Remove(ctx, p, id, Options{})
		case 3:
			_, _ = Replace(ctx, p, patches[i], patches[1-i].Info.UUID, Options{})
		}
	}
}

// We are killed while two patches of the same functions come and go: they are
// whole or not there, and of one version.
func TestKilledInAStack(t *testing.T) {
	ctx := context.Background()
	program := pie.program(t, "stack.c")
	r := start(t, program, "4")
	text := r.text()
	var paths [2]string
	var ids [2]string
	for i := range paths {
		f := pie
		f.compile = append(slices.Clone(pie.compile), fmt.Sprintf("-DVERSION=%d", i+1))
		raw := f.patchBytes(t, program, "version.c", pairOfFunctions...)
		obj, err := patchobject.Parse(raw)
		require.NoError(t, err)
		ids[i] = obj.Info.UUID
		paths[i] = filepath.Join(t.TempDir(), "object")
		require.NoError(t, os.WriteFile(paths[i], raw, 0o600))
	}
	seen := map[string]int{}
	for range *kills {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=stack %d %s %s", workerVariable, r.PID, paths[0], paths[1]))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		_, err = out.Read(make([]byte, 1))
		require.NoError(t, err)
		time.Sleep(rand.N(60 * time.Millisecond))
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		if !r.settled() {
			seen["unfinished"]++
		}
		require.Eventually(t, r.settled, 5*time.Second, time.Millisecond, "the guard did not repair")
		require.NoError(t, Repair(ctx, r.Process))
		list, err := Applied(ctx, r.PID)
		require.NoError(t, err)
		newest := int64(0)
		for _, a := range list { // in the order of activation
			if a.State == Active {
				newest = int64(slices.Index(ids[:], a.UUID) + 1)
			}
			seen[a.State.String()]++
		}
		r.eventually("last", newest)
		r.runsOn()
	}
	for _, id := range ids {
		if _, err := Remove(ctx, r.Process, id, Options{}); err != nil {
			require.ErrorIs(t, err, ErrNotApplied)
		}
	}
	r.pristine(text)
	t.Logf("%d moments, states afterwards: %v", *kills, seen)
}
