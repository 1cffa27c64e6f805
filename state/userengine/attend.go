package userengine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/user"
	"github.com/openeuler/syscare/state"
)

// AttendOptions configure an Attendant.
type AttendOptions struct {
	Root   string // as that of the manager
	Logger *slog.Logger
	// Probation is how long after its activation a patch is blamed for crashes in
	// its code.
	Probation func() time.Duration
	// Ready is called when all that is active is watched, at first and after
	// each change, with the number of entities that are active and of files that
	// are watched; may be nil.
	Ready func(active, files int)
}

// Attendant looks after active patches: processes that start or load a target
// get them before its code runs, and a patch in whose code a process dies is
// suspended.
type Attendant struct {
	AttendOptions
	manager *state.Manager
	watcher *user.Watcher

	refreshing sync.Mutex // one Refresh at a time

	mu     sync.Mutex
	wanted []state.Wanted
	places map[user.Process][]user.Place
	since  map[user.Process][]user.Place // of processes that started since the last look at all began
	looked int                           // how many there were when all were looked at
}

// NewAttendant makes an attendant for the active patches of a manager.
func NewAttendant(m *state.Manager, o AttendOptions) (*Attendant, error) {
	o.Root = cmp.Or(o.Root, "/")
	a := &Attendant{AttendOptions: o, manager: m, places: map[user.Process][]user.Place{}, since: map[user.Process][]user.Place{}}
	var err error
	if a.watcher, err = user.NewWatcher(o.Logger, a.started); err != nil {
		return nil, err
	}
	return a, nil
}

// HandOver makes Run, when its context ends, leave the watch to the next attendant
// of this process; see user.Watcher.HandOver.
func (a *Attendant) HandOver() { a.watcher.HandOver() }

// Run looks after the active patches until ctx ends.
func (a *Attendant) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	run := func(f func(context.Context) error) {
		work.Go(func() {
			if err := f(ctx); err != nil {
				cancel(err)
			}
		})
	}
	run(a.watcher.Run)
	run(a.follow)
	run(func(ctx context.Context) error {
		// Crashes are worth knowing of, and no reason to leave programs alone.
		if err := user.WatchCrashes(ctx, func(c user.Crash) { a.crashed(ctx, c) }); err != nil {
			a.Logger.Warn("crashes are not noticed", "error", err)
		}
		return nil
	})
	<-ctx.Done()
	work.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// follow takes notice of what becomes active and what does not stay so.
func (a *Attendant) follow(ctx context.Context) error {
	changed, err := state.Changes(ctx, a.Root)
	if err != nil {
		return err
	}
	often := time.NewTicker(200 * time.Millisecond)
	defer often.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			a.Refresh(ctx)
		case <-often.C:
			if a.outgrown() {
				a.look(ctx)
			}
		}
	}
}

// Refresh makes the watched files those of the patches that are active now. It
// comes by itself when something has changed; who changes something and wants it
// done when it returns calls it.
func (a *Attendant) Refresh(ctx context.Context) {
	a.refreshing.Lock()
	defer a.refreshing.Unlock()
	wanted, err := a.manager.Wanted(ctx)
	if err != nil && ctx.Err() == nil {
		a.Logger.Warn("some patches cannot be looked after", "error", err)
	}
	key := func(w state.Wanted) string { return w.Entity.UUID }
	a.mu.Lock()
	same := slices.EqualFunc(wanted, a.wanted, func(x, y state.Wanted) bool { return key(x) == key(y) })
	a.wanted = wanted
	a.mu.Unlock()
	if same && len(wanted) > 0 {
		a.look(ctx)
		return
	}
	var files []user.WatchedFile
	for _, w := range wanted {
		for _, path := range a.paths(ctx, w) {
			files = append(files, user.WatchedFile{Path: path, BuildID: w.Entity.BuildID})
		}
	}
	if err := a.watcher.Set(files); err != nil {
		a.Logger.Warn("some programs can only be patched after their start", "error", err)
	}
	if len(wanted) > 0 { // those that started before they were watched
		if _, err := a.manager.Rescan(ctx, state.MoveOptions{Who: "syscared"}); err != nil && ctx.Err() == nil {
			a.Logger.Warn("not all processes could be patched", "error", err)
		}
	}
	a.look(ctx)
	if a.Ready != nil {
		a.Ready(len(wanted), len(files))
	}
}

// paths are those under which the target is known: where it is installed, and
// what processes in other mount namespaces have mapped.
func (a *Attendant) paths(ctx context.Context, w state.Wanted) []string {
	var paths []string
	if w.Path != "" {
		if path, err := filepath.EvalSymlinks(filepath.Join(a.Root, w.Path)); err == nil {
			paths = append(paths, path)
		}
	}
	found, err := user.Find(ctx, w.Entity.BuildID)
	if err != nil {
		return paths
	}
	for _, p := range found {
		path, err := p.File(w.Entity.BuildID)
		if err == nil && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// look remembers where processes have the code of patches: when one has
// crashed it is too late.
func (a *Attendant) look(ctx context.Context) {
	a.mu.Lock()
	wanted := a.wanted
	a.since = map[user.Process][]user.Place{}
	a.mu.Unlock()
	places := map[user.Process][]user.Place{}
	done := map[object.BuildID]bool{}
	for _, w := range wanted {
		if done[w.Entity.BuildID] {
			continue
		}
		done[w.Entity.BuildID] = true
		found, err := user.Find(ctx, w.Entity.BuildID)
		if err != nil {
			continue
		}
		for _, p := range found {
			if there, err := user.Places(ctx, p); err == nil {
				places[p] = there
			}
		}
	}
	a.mu.Lock()
	maps.Copy(places, a.since)
	a.places, a.looked = places, len(places)
	a.mu.Unlock()
}

// outgrown reports whether many processes have started since all were looked
// at: most of those that are remembered may have ended.
func (a *Attendant) outgrown() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.places) > 2*a.looked+1000
}

// started patches a process that starts or loads a target.
func (a *Attendant) started(ctx context.Context, s user.Start) {
	if a.manager.Skips(executable(s.Process.PID)) {
		return
	}
	a.mu.Lock()
	wanted := a.wanted
	a.mu.Unlock()
	var has []state.Wanted
	for range 3 { // what is wanted may change meanwhile
		has = a.give(ctx, s, wanted, has)
		now, err := a.manager.WantedNow()
		if err != nil || !slices.ContainsFunc(has, func(w state.Wanted) bool { return !now[w.UUID] }) {
			break
		}
		if wanted, err = a.manager.Wanted(ctx); err != nil {
			a.Logger.Warn("some patches cannot be looked after", "error", err)
		}
	}
	there, err := user.Places(ctx, s.Process)
	if err != nil {
		return
	}
	a.mu.Lock()
	a.places[s.Process], a.since[s.Process] = there, there
	a.mu.Unlock()
}

// give applies what is wanted of a target to a process, takes out what it has and
// is not, and returns what it has then.
func (a *Attendant) give(ctx context.Context, s user.Start, wanted, had []state.Wanted) (has []state.Wanted) {
	for _, w := range had {
		if slices.ContainsFunc(wanted, func(v state.Wanted) bool { return v.UUID == w.UUID }) {
			continue
		}
		if _, err := user.Remove(ctx, s.Process, w.Entity.UUID, s.Options); err != nil && !isA[user.ErrGone](err) {
			a.Logger.Warn("process keeps a patch that was removed", "patch", w.Patch, "uuid", w.UUID, "pid", s.Process.PID, "error", err)
		}
	}
	for _, w := range wanted {
		if w.Entity.BuildID != s.BuildID {
			continue
		}
		_, err := user.Apply(ctx, s.Process, w.Entity.Object, s.Options)
		switch {
		case err == nil:
			a.Logger.Info("process patched", "patch", w.Patch, "uuid", w.UUID, "pid", s.Process.PID, "held", s.Held)
			has = append(has, w)
		case errors.Is(err, user.ErrAlready):
			has = append(has, w)
		case isA[user.ErrGone](err):
		default:
			a.Logger.Warn("process not patched", "patch", w.Patch, "uuid", w.UUID, "pid", s.Process.PID, "error", err)
		}
	}
	return has
}

// crashed suspends the patch in whose code, or in what it called, a process has
// died.
func (a *Attendant) crashed(ctx context.Context, c user.Crash) {
	a.mu.Lock()
	blamed, at := a.blame(c)
	var wanted *state.Wanted
	for _, w := range a.wanted {
		if w.Entity.UUID == blamed.UUID {
			wanted = &w
		}
	}
	a.mu.Unlock()
	if wanted == nil {
		return
	}
	code := "its code" // of parts of functions that the compiler moved aside no name is known
	if name := blamed.Function(at); name != "" {
		code = fmt.Sprintf("its function %q", name)
	}
	if age := time.Since(wanted.Since); age > a.Probation() {
		a.Logger.Error("a process has crashed in the code of a patch", "patch", wanted.Patch, "pid", c.PID, "signal", c.Signal, "where", code, "active_for", age)
		return
	}
	where := "in"
	if blamed.Direct(c) == 0 {
		where = "in what was called by"
	}
	reason := fmt.Sprintf("process %d died by %s %s %s on %s", c.PID, unix.SignalName(c.Signal), where, code, time.Now().Format(time.RFC3339))
	_, _ = a.manager.Suspend(ctx, wanted.UUID, reason, state.MoveOptions{Who: "syscared"}) // logs what came of it
}

// blame finds the code of a patch in which the process has crashed, or that had
// called what crashed, and the address there. A child that was forked has the
// code where its parent has it; for processes of which nothing is known, only
// the crash itself counts.
func (a *Attendant) blame(c user.Crash) (user.Place, uint64) {
	var own []user.Place
	known := false
	for pid := c.PID; pid > 1 && !known; pid = parent(pid) {
		for p, places := range a.places {
			if p.PID == pid {
				own, known = places, true
			}
		}
	}
	for _, look := range []func(user.Place) uint64{
		func(p user.Place) uint64 { return p.Direct(c) },
		func(p user.Place) uint64 { return p.Called(c) },
	} {
		for _, place := range own {
			if at := look(place); at != 0 {
				return place, at
			}
		}
	}
	for _, places := range a.places {
		for _, place := range places {
			if at := place.Direct(c); at != 0 && !known {
				return place, at
			}
		}
	}
	return user.Place{}, 0
}

// parent is the process that has started another one, which may be dead by now;
// 0 if there is none.
func parent(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(data[bytes.LastIndexByte(data, ')')+1:], []byte(" "))
	var kind string
	parent := 0
	_, _ = fmt.Sscan(string(rest), &kind, &parent)
	return parent
}
