// Package userengine reaches processes for package state through package
// engine/user.
//
// It translates: presences to the calls that lead to them, and typed errors to
// those of package state, which stay in the chain for their details. It may
// import state, engine/user and below.
//
// Invariant: Bring is idempotent; "already there" is success.
package userengine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
	"github.com/openeuler/syscare/engine/user"
	"github.com/openeuler/syscare/state"
	"github.com/openeuler/syscare/state/config"
)

// errNoCode says that a process cannot be given a patch whose files are gone.
var errNoCode = errors.New("the patch's code cannot be read any more; reinstall its package")

type engine struct{ log *slog.Logger }

// New makes the engine. The program must have called RunGuardIfAsked.
func New(log *slog.Logger) state.Engine { return &engine{log: log} }

// Settings are those of the manager in a configuration.
func Settings(c config.Config) state.Settings {
	return state.Settings{Blocked: c.Blocked, Skipped: c.Skipped, Timeout: time.Duration(c.Timeout), Parallel: c.Parallel}
}

// RunGuardIfAsked must be the first call of main: the program is also its own
// guard. It returns unless that was asked for.
func RunGuardIfAsked() { user.RunGuardIfAsked() }

// Find lists the processes that map the file with this build ID.
func (e *engine) Find(ctx context.Context, id object.BuildID) ([]state.Process, error) {
	found, err := user.Find(ctx, id)
	if err != nil {
		return nil, translate(err)
	}
	var out []state.Process
	for _, p := range found {
		out = append(out, state.Process{PID: p.PID, Name: name(p.PID), Start: p.StartTime, Executable: executable(p.PID)})
	}
	return out, nil
}

// executable is the path of the process's program.
func executable(pid int) string {
	path, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(path, " (deleted)")
}

// name is the process's own name for itself, made safe to print.
func name(pid int) string {
	comm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return "?"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, strings.TrimSuffix(string(comm), "\n"))
}

// translate adds the error of package state that says the same.
func translate(err error) error {
	if err == nil {
		return nil
	}
	for _, known := range []struct {
		is   bool
		kind error
	}{
		{isA[user.ErrGone](err), state.ErrGone},
		{isA[user.ErrBusy](err), state.ErrBusy},
		{isA[user.ErrTraced](err), state.ErrBusy},
		{isA[user.ErrTimeout](err), state.ErrBusy},
		{isA[user.ErrMismatch](err), state.ErrMismatch},
		{isA[user.ErrUnresolved](err), state.ErrMismatch},
		{errors.Is(err, user.ErrNoTarget), state.ErrMismatch},
		{errors.Is(err, user.ErrCoroutines), state.ErrUnsupported},
		{isA[user.ErrConflict](err), state.ErrConflict},
		{isA[user.ErrHook](err), state.ErrHook},
	} {
		if known.is {
			return fmt.Errorf("%w: %w", known.kind, err)
		}
	}
	return err
}

func isA[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

// presence reads what the process carries, by entity UUID. A change that is
// under way, or that was killed half way and is being undone, has no presence
// yet: then we wait for its end, and bring it about if nobody else does. Code that
// is loaded may be on its way to be active.
func presence(ctx context.Context, p user.Process) (map[string]state.Presence, error) {
	applied, err := user.Applied(ctx, p.PID)
	if err == nil && slices.ContainsFunc(applied, underWay) && os.Geteuid() == 0 {
		if err = user.Repair(ctx, p); err == nil {
			applied, err = user.Applied(ctx, p.PID)
		}
	}
	if err != nil {
		return nil, translate(err)
	}
	carries := map[string]state.Presence{}
	for _, a := range applied {
		switch {
		case a.State == user.Active || unsettled(a) && a.State != user.Loading:
			carries[a.UUID] = state.Active
		case a.State == user.Loaded || a.State == user.Inactive:
			carries[a.UUID] = max(carries[a.UUID], state.Loaded)
		}
	}
	return carries, nil
}

func unsettled(a user.AppliedPatch) bool {
	return a.State == user.Loading || a.State == user.Activating || a.State == user.Deactivating || a.State == user.Replacing
}

func underWay(a user.AppliedPatch) bool { return unsettled(a) || a.State == user.Loaded }

func identity(p state.Process) user.Process { return user.Process{PID: p.PID, StartTime: p.Start} }

// Presence reads from the process what it carries, by entity UUID.
func (e *engine) Presence(ctx context.Context, p state.Process) (map[string]state.Presence, error) {
	return presence(ctx, identity(p))
}

// Bring takes an entity in a process to a presence.
func (e *engine) Bring(ctx context.Context, p state.Process, entity state.Entity, want state.Presence, t state.Tuning) (state.Report, error) {
	proc := identity(p)
	opts := user.Options{Timeout: t.Timeout, Force: t.Force, Logger: e.log}
	var report user.Report
	var err error
	from := state.Absent
	whole := want == state.Absent || want == state.Active && entity.Object != nil
	if !whole { // only then it matters where it begins
		carries, err := presence(ctx, proc)
		if err != nil {
			return state.Report{}, err
		}
		from = carries[entity.UUID]
	}
	switch {
	case want == state.Absent:
		report, err = user.Remove(ctx, proc, entity.UUID, opts)
	case from == want:
	case from == state.Absent && entity.Object == nil:
		return state.Report{}, fmt.Errorf("process %d: %w", p.PID, errNoCode)
	case whole && entity.Retires != nil:
		report, err = user.Replace(ctx, proc, entity.Object, entity.Retires.UUID, opts)
	case whole:
		report, err = user.Apply(ctx, proc, entity.Object, opts)
	case want == state.Active:
		report, err = user.Activate(ctx, proc, entity.UUID, opts)
	case want == state.Loaded && from == state.Absent:
		report, err = user.Load(ctx, proc, entity.Object, opts)
	default:
		report, err = user.Deactivate(ctx, proc, entity.UUID, opts)
	}
	if errors.Is(err, user.ErrAlready) || want == state.Absent && errors.Is(err, user.ErrNotApplied) {
		err = nil
	}
	return e.report(p, entity, report), translate(err)
}

func (e *engine) report(p state.Process, entity state.Entity, r user.Report) state.Report {
	out := state.Report{Process: p, Attempts: r.Attempts, Threads: r.Threads, Pause: r.Pause}
	if entity.Object != nil {
		out.Entity = entity.Object.Info.Entity
		for _, f := range entity.Object.Funcs {
			if f.Kind == patchobject.Replaced {
				out.Functions = append(out.Functions, f.Name)
			}
		}
	}
	out.Parts = []state.PausePart{
		{Name: "interrupt", Time: r.Interrupt}, {Name: "check", Time: r.Check},
		{Name: "write", Time: r.Write}, {Name: "resume", Time: r.Resume},
	}
	return out
}

// Repair finishes or undoes what somebody who was killed left half done.
func (e *engine) Repair(ctx context.Context, p state.Process) error {
	return translate(user.Repair(ctx, identity(p)))
}
