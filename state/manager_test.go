package state

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/openeuler/syscare/state/metadata"
)

// The whole of the state machine: each row is a verb on a patch in a state.
func TestMoves(t *testing.T) {
	type row struct {
		from State
		verb Verb
		to   State // "" if refused
	}
	rows := []row{
		{NotApplied, VerbApply, Actived}, {Deactived, VerbApply, Actived}, {Actived, VerbApply, Actived}, {Accepted, VerbApply, Accepted},
		{NotApplied, VerbRemove, NotApplied}, {Deactived, VerbRemove, NotApplied}, {Actived, VerbRemove, NotApplied}, {Accepted, VerbRemove, NotApplied},
		{NotApplied, VerbActive, ""}, {Deactived, VerbActive, Actived}, {Actived, VerbActive, Actived}, {Accepted, VerbActive, Accepted},
		{NotApplied, VerbDeactive, ""}, {Deactived, VerbDeactive, Deactived}, {Actived, VerbDeactive, Deactived}, {Accepted, VerbDeactive, Deactived},
		{NotApplied, VerbAccept, ""}, {Deactived, VerbAccept, ""}, {Actived, VerbAccept, Accepted}, {Accepted, VerbAccept, Accepted},
	}
	way := map[State][]Verb{
		NotApplied: {}, Deactived: {VerbApply, VerbDeactive}, Actived: {VerbApply}, Accepted: {VerbApply, VerbAccept},
	}
	for _, r := range rows {
		t.Run(string(r.verb)+" on "+string(r.from), func(t *testing.T) {
			root, engine := t.TempDir(), newFake(1, 2)
			p := addPatch(t, root, patchSpec{})
			m := newManager(t, root, engine)
			for _, v := range way[r.from] {
				_, err := m.Move(t.Context(), v, "HP001", MoveOptions{})
				require.NoError(t, err)
			}
			st, err := m.Status(t.Context(), "HP001")
			require.NoError(t, err)
			require.Equal(t, r.from, st.State)

			_, err = m.Move(t.Context(), r.verb, "HP001", MoveOptions{Who: "me"})

			want := r.to
			if want == "" {
				require.ErrorIs(t, err, ErrState)
				want = r.from
			} else {
				require.NoError(t, err)
				rec := readRecord(t, root, p.UUID)
				assert.Equal(t, want, rec.State)
				assert.Equal(t, "me", rec.Who)
				assert.Nil(t, rec.Pending)
			}
			st, err = m.Status(t.Context(), "HP001")
			require.NoError(t, err)
			assert.Equal(t, want, st.State)
			assert.Equal(t, []Presence{want.presence(), want.presence()}, engine.has(p.Entities[0].UUID))
		})
	}
}

// A process that fails takes all others back with it; a process that ends
// does not count; best effort keeps what worked.
func TestAllOrNothing(t *testing.T) {
	root, engine := t.TempDir(), newFake(1, 2, 3)
	entity := addPatch(t, root, patchSpec{}).Entities[0].UUID
	m := newManager(t, root, engine)
	engine.fail[2] = ErrBusy

	_, err := m.Apply(t.Context(), "HP001", MoveOptions{})
	require.ErrorIs(t, err, ErrBusy)
	require.ErrorContains(t, err, "process 2 (server)")
	var move *MoveError
	require.ErrorAs(t, err, &move)
	assert.Empty(t, move.Stuck)
	assert.Equal(t, []Presence{Absent, Absent, Absent}, engine.has(entity))

	res, err := m.Apply(t.Context(), "HP001", MoveOptions{BestEffort: true})
	require.NoError(t, err)
	require.Len(t, res.Failures, 1)
	assert.Equal(t, []Presence{Active, Absent, Active}, engine.has(entity))
	st, err := m.Status(t.Context(), "HP001")
	require.NoError(t, err)
	assert.Equal(t, Actived, st.State)
	assert.Equal(t, 2, st.Patched)
	assert.Equal(t, 3, st.Running)
	assert.Contains(t, st.Notes, "2 of 3 processes are patched; `syscare rescan` patches the others")

	engine.fail[2] = ErrGone
	_, err = m.Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	engine.fail = map[int]error{}
	_, err = m.Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)

	engine.fail = map[int]error{3: errors.New("stuck")}
	_, err = m.Remove(t.Context(), "HP001", MoveOptions{})
	require.ErrorAs(t, err, &move)
	assert.Len(t, move.Failures, 1)
	assert.Empty(t, move.Stuck)
	assert.Equal(t, []Presence{Active, Active, Active}, engine.has(entity))
}

func TestBestEffortThatReachesNothingFails(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	addPatch(t, root, patchSpec{})
	engine.fail[1] = ErrBusy
	m := newManager(t, root, engine)
	_, err := m.Apply(t.Context(), "HP001", MoveOptions{BestEffort: true})
	require.ErrorIs(t, err, ErrBusy)
}

// Many processes at once, one of which fails.
func TestManyProcesses(t *testing.T) {
	var pids []int
	for pid := range 50 {
		pids = append(pids, pid+1)
	}
	root, engine := t.TempDir(), newFake(pids...)
	entity := addPatch(t, root, patchSpec{}).Entities[0].UUID
	m := newManager(t, root, engine)
	m.Configure(Settings{Parallel: 8})
	engine.fail[40] = ErrBusy
	_, err := m.Apply(t.Context(), "HP001", MoveOptions{})
	require.ErrorIs(t, err, ErrBusy)
	assert.Equal(t, Absent, highest(engine.has(entity)))
	delete(engine.fail, 40)
	res, err := m.Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	assert.Len(t, res.Reports, 50)
}

// Ctrl-C in the middle: what was done is reverted.
func TestInterrupted(t *testing.T) {
	root, engine := t.TempDir(), newFake(1, 2, 3)
	p := addPatch(t, root, patchSpec{})
	ctx, cancel := context.WithCancel(t.Context())
	engine.onBring = func(pid int) {
		if pid == 2 {
			cancel()
		}
	}
	_, err := newManager(t, root, engine).Apply(ctx, "HP001", MoveOptions{})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, []Presence{Absent, Absent, Absent}, engine.has(p.Entities[0].UUID))
	assert.Nil(t, readRecord(t, root, p.UUID).Pending)
}

// A process that forks while the move is at work is patched as well.
func TestProcessesThatStartMeanwhile(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	entity := addPatch(t, root, patchSpec{}).Entities[0].UUID
	engine.onBring = func(pid int) {
		if pid == 1 {
			engine.start(7, serverID)
		}
	}
	_, err := newManager(t, root, engine).Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	assert.Equal(t, []Presence{Active, Active}, engine.has(entity))
}

// The program is killed at the n-th change of a process of each verb. Before
// anything else runs, status tells what is in the processes; the next command
// that changes anything leaves a state in which record and processes agree.
func TestKilledInTheMiddle(t *testing.T) {
	prepare := map[Verb][]Verb{VerbApply: {}, VerbActive: {VerbApply, VerbDeactive}, VerbDeactive: {VerbApply}, VerbRemove: {VerbApply, VerbAccept}}
	for verb, before := range prepare {
		for at := 1; at <= 3; at++ {
			t.Run(string(verb)+" at "+string(rune('0'+at)), func(t *testing.T) {
				root, engine := t.TempDir(), newFake(1, 2, 3)
				p := addPatch(t, root, patchSpec{})
				entity := p.Entities[0].UUID
				m := newManager(t, root, engine)
				for _, v := range before {
					_, err := m.Move(t.Context(), v, "HP001", MoveOptions{})
					require.NoError(t, err)
				}
				old, err := m.Status(t.Context(), "HP001")
				require.NoError(t, err)
				killAt(t, m, engine, verb, at)

				require.NotNil(t, readRecord(t, root, p.UUID).Pending, "the intent is on disk")
				m = newManager(t, root, engine)
				st, err := m.Status(t.Context(), "HP001")
				require.NoError(t, err)
				assert.Equal(t, highest(engine.has(entity)) == Active, st.State.presence() == Active, "status says what is in the processes")

				_, err = m.Save(t.Context())
				require.NoError(t, err)
				st, err = m.Status(t.Context(), "HP001")
				require.NoError(t, err)
				want, err := next(verb, old.State)
				require.NoError(t, err)
				if at == 1 {
					want = old.State
				}
				assert.Equal(t, want, st.State)
				assert.Equal(t, []Presence{want.presence(), want.presence(), want.presence()}, engine.has(entity))
				assert.Nil(t, readRecord(t, root, p.UUID).Pending)
				assert.NotEmpty(t, engine.repaired)
			})
		}
	}
}

// killAt runs a move that is killed at the n-th Bring: it stands still there
// for ever, and its lock is gone, as after a SIGKILL.
func killAt(t *testing.T, m *Manager, engine *fakeEngine, verb Verb, at int) {
	t.Helper()
	engine.mu.Lock()
	engine.calls, engine.killAt, engine.killed = 0, at, make(chan struct{})
	engine.mu.Unlock()
	go func() { _, _ = m.Move(context.Background(), verb, "HP001", MoveOptions{}) }()
	<-engine.killed
	require.NoError(t, os.Remove(filepath.Join(m.root, lockPath)))
}

func highest(all []Presence) (most Presence) {
	for _, p := range all {
		most = max(most, p)
	}
	return most
}

// Killed after the processes were done and before the result was written.
func TestKilledBeforeTheResult(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	p := addPatch(t, root, patchSpec{})
	m := newManager(t, root, engine)
	_, err := m.Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	s, _, err := readStore(root)
	require.NoError(t, err)
	rec := s.Patches[p.UUID]
	rec.State, rec.Pending = NotApplied, &pending{Verb: VerbApply, From: NotApplied, To: Actived, BootID: m.boot}
	require.NoError(t, s.write(root))

	st, err := m.Status(t.Context(), "HP001")
	require.NoError(t, err)
	assert.Equal(t, Actived, st.State)
	assert.Equal(t, NotApplied, st.Recorded)
	_, err = m.Rescan(t.Context(), MoveOptions{})
	require.NoError(t, err)
	assert.Equal(t, Actived, readRecord(t, root, p.UUID).State)
}

// Rows of the rules that the package comment gives.
func TestObserve(t *testing.T) {
	rec := func(s State, boot string) *record { return &record{State: s, BootID: boot} }
	for name, r := range map[string]struct {
		rec  *record
		most Presence
		want State
	}{
		"nothing anywhere":                       {nil, Absent, NotApplied},
		"active in a process, nothing recorded":  {nil, Active, Actived},
		"active in a process, removal recorded":  {rec(NotApplied, "b"), Active, Actived},
		"active in a process, accepted":          {rec(Accepted, "b"), Active, Accepted},
		"active in a process, deactived":         {rec(Deactived, "b"), Active, Actived},
		"restarted, recorded active":             {rec(Actived, "b"), Absent, Actived},
		"restarted, accepted":                    {rec(Accepted, "b"), Absent, Accepted},
		"switched off behind our back":           {rec(Accepted, "b"), Loaded, Deactived},
		"switched off, nothing recorded":         {nil, Loaded, Deactived},
		"left over after a removal":              {rec(NotApplied, "b"), Loaded, NotApplied},
		"accepted before the boot":               {rec(Accepted, "a"), Absent, NotApplied},
		"accepted before the boot, active again": {rec(Accepted, "a"), Active, Actived},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, r.want, observe(r.rec, "b", r.most)) })
	}
}

func TestSaveAndRestore(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	accepted := addPatch(t, root, patchSpec{name: "A", at: 0x1000})
	saved := addPatch(t, root, patchSpec{name: "B", at: 0x2000})
	off := addPatch(t, root, patchSpec{name: "C", at: 0x3000})
	m := newManager(t, root, engine)
	do := func(verb Verb, ids ...string) {
		for _, id := range ids {
			_, err := m.Move(t.Context(), verb, id, MoveOptions{})
			require.NoError(t, err)
		}
	}
	do(VerbApply, "B", "A", "C")
	do(VerbAccept, "A")
	do(VerbDeactive, "C")
	n, err := m.Save(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, n)

	boot := func() { engine.start(1, serverID); m.boot += "x" }
	boot()
	st, err := m.Status(t.Context(), "A")
	require.NoError(t, err)
	assert.Equal(t, NotApplied, st.State)
	res, err := m.Restore(t.Context(), true, MoveOptions{})
	require.NoError(t, err)
	require.Len(t, res, 1)
	assert.Equal(t, Accepted, res[0].To)
	assert.Equal(t, []Presence{Absent}, engine.has(saved.Entities[0].UUID))

	boot()
	res, err = m.Restore(t.Context(), false, MoveOptions{})
	require.NoError(t, err)
	require.Len(t, res, 3)
	assert.Equal(t, saved.FullName(), res[0].Name, "in order of activation")
	assert.Equal(t, []Presence{Active}, engine.has(accepted.Entities[0].UUID))
	assert.Equal(t, []Presence{Active}, engine.has(saved.Entities[0].UUID))
	assert.Equal(t, []Presence{Loaded}, engine.has(off.Entities[0].UUID))
}

// A restore that fails must not make an accepted patch forget that it is.
func TestFailedRestoreKeepsAccepted(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	p := addPatch(t, root, patchSpec{})
	m := newManager(t, root, engine)
	_, err := m.Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	_, err = m.Accept(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	engine.start(1, serverID)
	m.boot += "x"
	engine.fail[1] = ErrBusy
	_, err = m.Restore(t.Context(), true, MoveOptions{})
	require.ErrorIs(t, err, ErrBusy)
	assert.Equal(t, Accepted, readRecord(t, root, p.UUID).State)
}

func TestRescanPatchesRestartedProcesses(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	entity := addPatch(t, root, patchSpec{}).Entities[0].UUID
	m := newManager(t, root, engine)
	_, err := m.Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	engine.start(1, serverID)
	engine.start(2, serverID)
	res, err := m.Rescan(t.Context(), MoveOptions{})
	require.NoError(t, err)
	require.Len(t, res, 1)
	assert.Equal(t, []Presence{Active, Active}, engine.has(entity))
}

func TestOverlaps(t *testing.T) {
	root, engine := t.TempDir(), newFake(1)
	addPatch(t, root, patchSpec{name: "A"})
	addPatch(t, root, patchSpec{name: "A", version: "2"})
	addPatch(t, root, patchSpec{name: "B"})
	addPatch(t, root, patchSpec{name: "C", at: 0x5000})
	m := newManager(t, root, engine)
	require.NoError(t, m.Check(t.Context(), "B"))
	_, err := m.Apply(t.Context(), "A-1-1", MoveOptions{})
	require.NoError(t, err)
	require.ErrorIs(t, m.Check(t.Context(), "B"), ErrConflict)
	require.NoError(t, m.Check(t.Context(), "C"), "other code of the same program")
	res, err := m.Apply(t.Context(), "A-2-1", MoveOptions{})
	require.NoError(t, err, "the next version of a patch takes the place of the former")
	require.Equal(t, []string{"it replaces redis-6.2.5-1/A-1-1"}, res.Notes)
	res, err = m.Apply(t.Context(), "B", MoveOptions{})
	require.NoError(t, err)
	require.Len(t, res.Notes, 1)
	require.Contains(t, res.Notes[0], "redis-6.2.5-1/A-2-1")
}

// The kernel is one process that is always there: what it does not carry is not applied,
// and a patch for another kernel has no programs to come.
func TestKernelPatches(t *testing.T) {
	root := t.TempDir()
	addPatch(t, root, patchSpec{kind: metadata.KernelPatch})
	_, err := newManager(t, root, newFake()).Apply(t.Context(), "HP001", MoveOptions{})
	require.ErrorIs(t, err, ErrMismatch)
	require.ErrorContains(t, err, "the kernel that runs is not redis-6.2.5-1")

	engine := newFake(0)
	m := newManager(t, root, engine)
	_, err = m.Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	status := func() State {
		st, err := m.Status(t.Context(), "HP001")
		require.NoError(t, err)
		return st.State
	}
	require.Equal(t, Actived, status())
	wanted, err := m.Wanted(t.Context())
	require.NoError(t, err)
	require.Empty(t, wanted, "no program that starts is to have it")
	_, err = m.Deactivate(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	require.Equal(t, Deactived, status())
	_, err = m.Activate(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	for uuid := range engine.procs[0].carries { // somebody unloads the module by hand
		engine.procs[0].carries[uuid] = Absent
	}
	require.Equal(t, NotApplied, status())
	_, err = m.Apply(t.Context(), "HP001", MoveOptions{})
	require.NoError(t, err)
	require.Equal(t, Actived, status())

	addPatch(t, root, patchSpec{name: "HP002", kind: metadata.KernelPatch})
	res, err := m.Apply(t.Context(), "HP002", MoveOptions{})
	require.NoError(t, err)
	require.Len(t, res.Notes, 1)
	require.Contains(t, res.Notes[0], "HP001-1-1 replaces f too")
}

// What is wrong with a patch directory, and what is said of it. Such patches
// are listed, never loaded, and do not hide the good one beside them.
func TestUntrustedFiles(t *testing.T) {
	for name, r := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  error
		says  string
	}{
		"metadata writable by group":   {func(t *testing.T, d string) { require.NoError(t, os.Chmod(d+"/patch.json", 0o660)) }, ErrInsecure, "writable by group or others"},
		"object writable by others":    {func(t *testing.T, d string) { require.NoError(t, os.Chmod(d+"/server.o", 0o602)) }, ErrInsecure, "writable by group or others"},
		"directory writable by others": {func(t *testing.T, d string) { require.NoError(t, os.Chmod(d, 0o777)) }, ErrInsecure, "writable by group or others"},
		"directory of another user":    {func(t *testing.T, d string) { require.NoError(t, os.Chown(d, 1000, 0)) }, ErrInsecure, "belongs to user 1000"},
		"object of another user":       {func(t *testing.T, d string) { require.NoError(t, os.Chown(d+"/server.o", 1000, 0)) }, ErrInsecure, "belongs to user 1000"},
		"object is a link": {func(t *testing.T, d string) {
			require.NoError(t, os.Rename(d+"/server.o", d+"/real"))
			require.NoError(t, os.Symlink("real", d+"/server.o"))
		}, ErrInsecure, "symbolic link"},
		"directory is a link": {func(t *testing.T, d string) {
			require.NoError(t, os.Rename(d, d+".real"))
			require.NoError(t, os.Symlink(d+".real", d))
		}, ErrInsecure, "is a link"},
		"object is a pipe": {func(t *testing.T, d string) {
			require.NoError(t, os.Remove(d+"/server.o"))
			require.NoError(t, unix.Mkfifo(d+"/server.o", 0o600))
		}, ErrInsecure, "not a regular file"},
		"object changed": {func(t *testing.T, d string) { require.NoError(t, os.WriteFile(d+"/server.o", []byte("x"), 0o640)) }, ErrCorrupt, "does not match its digest"},
		"metadata torn":  {func(t *testing.T, d string) { require.NoError(t, os.Truncate(d+"/patch.json", 100)) }, ErrCorrupt, "patch.json"},
		"object missing": {func(t *testing.T, d string) { require.NoError(t, os.Remove(d+"/server.o")) }, os.ErrNotExist, "server.o"},
	} {
		t.Run(name, func(t *testing.T) {
			root, engine := t.TempDir(), newFake(1)
			bad := addPatch(t, root, patchSpec{name: "BAD"})
			addPatch(t, root, patchSpec{name: "GOOD"})
			r.spoil(t, filepath.Join(root, patchesDir, bad.UUID))
			m := newManager(t, root, engine)

			all, err := m.List(t.Context())
			require.NoError(t, err)
			require.Len(t, all, 2)
			for _, st := range all {
				if st.UUID == bad.UUID {
					assert.Equal(t, Unknown, st.State)
					assert.Contains(t, st.Problem, r.says)
				} else {
					assert.Equal(t, NotApplied, st.State)
				}
			}
			require.ErrorIs(t, m.Check(t.Context(), bad.UUID), r.want)
			_, err = m.Apply(t.Context(), bad.UUID, MoveOptions{Force: true})
			require.ErrorIs(t, err, r.want)
			assert.Equal(t, []Presence{Absent}, engine.has(bad.Entities[0].UUID))
		})
	}
}

// A patch whose directory is damaged or gone after it was applied is still
// taken out of the processes.
func TestRemoveWithoutFiles(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"damaged": func(d string) error { return os.Truncate(d+"/patch.json", 3) },
		"gone":    os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			root, engine := t.TempDir(), newFake(1)
			p := addPatch(t, root, patchSpec{})
			m := newManager(t, root, engine)
			_, err := m.Apply(t.Context(), "HP001", MoveOptions{})
			require.NoError(t, err)
			require.NoError(t, spoil(filepath.Join(root, patchesDir, p.UUID)))
			all, err := m.List(t.Context())
			require.NoError(t, err)
			require.Len(t, all, 1)
			assert.Equal(t, Actived, all[0].State)
			assert.NotEmpty(t, all[0].Problem)
			_, err = m.Remove(t.Context(), p.UUID, MoveOptions{})
			require.NoError(t, err)
			assert.Equal(t, []Presence{Absent}, engine.has(p.Entities[0].UUID))
		})
	}
}
