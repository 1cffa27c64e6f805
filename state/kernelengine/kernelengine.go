// Package kernelengine reaches the running kernel for package state through package
// engine/kernel.
//
// To the manager the kernel is one more process: with the number 0, the name "kernel" and
// the build ID of the kernel that runs. A patch's entity for it is a livepatch module,
// whose name is made of the entity's UUID: so the kernel itself tells which patches it has.
//
// It may import state, engine/kernel and below.
package kernelengine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/openeuler/syscare/engine/kernel"
	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/state"
)

// pid is the kernel's number among processes.
const pid = 0

// errNoCode says that the kernel cannot be given a patch whose files are gone.
var errNoCode = errors.New("the patch's module cannot be read any more; reinstall its package")

// engine is that of processes, and of the kernel.
type engine struct {
	state.Engine
	log *slog.Logger
}

// With adds the kernel to what an engine of processes reaches.
func With(processes state.Engine, log *slog.Logger) state.Engine { return &engine{processes, log} }

// Find gives the kernel for its build ID, else processes.
func (e *engine) Find(ctx context.Context, id object.BuildID) ([]state.Process, error) {
	if running, err := kernel.BuildID(); err == nil && running != "" && running == id {
		return []state.Process{{PID: pid, Name: "kernel"}}, nil
	}
	return e.Engine.Find(ctx, id)
}

// Presence reads what the kernel carries, or a process. While some tasks run a patch's
// code and some the old one it counts as active, whichever way it goes.
func (e *engine) Presence(ctx context.Context, p state.Process) (map[string]state.Presence, error) {
	if p.PID != pid {
		return e.Engine.Presence(ctx, p)
	}
	modules, err := kernel.List(kernel.Prefix)
	if err != nil {
		return nil, Translate(err)
	}
	carries := map[string]state.Presence{}
	for name, is := range modules {
		uuid := strings.ReplaceAll(strings.TrimPrefix(name, kernel.Prefix), "_", "-")
		switch is {
		case kernel.Enabled, kernel.Moving:
			carries[uuid] = state.Active
		case kernel.Disabled:
			carries[uuid] = state.Loaded
		}
	}
	return carries, nil
}

// Bring takes a module to a presence in the kernel, or an entity in a process.
func (e *engine) Bring(ctx context.Context, p state.Process, entity state.Entity, want state.Presence, t state.Tuning) (state.Report, error) {
	if p.PID != pid {
		return e.Engine.Bring(ctx, p, entity, want, t)
	}
	report := state.Report{Process: p, Entity: "kernel", Attempts: 1}
	name := kernel.NameFor(entity.UUID)
	options := kernel.Options{Timeout: t.Timeout, Progress: func(left int) {
		e.log.Info("tasks of the kernel are being moved", "module", name, "left", left)
	}}
	if want == state.Absent {
		return report, Translate(kernel.Remove(ctx, name, options))
	}
	is, err := kernel.StateOf(name)
	if err != nil {
		return report, Translate(err)
	}
	if entity.Retires != nil {
		// Where the old patch is the only one, the new one takes its place in one
		// transition. Else both are in force for a moment, the new one before the old one.
		patches, err := kernel.Patches()
		if err != nil {
			return report, Translate(err)
		}
		options.Replace = len(patches) == 1 && patches[0] == kernel.NameFor(entity.Retires.UUID)
	}
	if want == state.Active || is == kernel.Absent { // a module is enabled as it is loaded
		if err := enable(ctx, name, entity, options); err != nil {
			return report, Translate(err)
		}
	}
	if want == state.Loaded {
		return report, Translate(kernel.Disable(ctx, name, options))
	}
	if entity.Retires != nil {
		return report, Translate(e.retire(ctx, name, kernel.NameFor(entity.Retires.UUID), options))
	}
	return report, nil
}

// retire takes the old patch away, after the new one has come into force. If that cannot be
// done the new one goes, unless it has taken the place of the old one already: then nothing
// but the old module's memory is left over.
func (e *engine) retire(ctx context.Context, name, old string, options kernel.Options) error {
	err := kernel.Remove(ctx, old, options)
	if err == nil {
		return nil
	}
	if is, stateErr := kernel.StateOf(old); stateErr == nil && is == kernel.Disabled {
		e.log.Warn("the module of a replaced patch stays loaded", "module", old, "error", err)
		return nil
	}
	return errors.Join(err, kernel.Remove(context.WithoutCancel(ctx), name, options))
}

func enable(ctx context.Context, name string, entity state.Entity, options kernel.Options) error {
	if is, err := kernel.StateOf(name); err == nil && is == kernel.Enabled {
		return nil
	}
	if entity.Module == nil {
		return errNoCode
	}
	m, err := kernel.Read(entity.Module)
	if err != nil {
		return err
	}
	if m.Name != name {
		return fmt.Errorf("%w: it is called %s, that of the entity has to be %s", kernel.ErrNotLivepatch, m.Name, name)
	}
	return kernel.Enable(ctx, m, options)
}

// Repair has nothing to do for the kernel, which finishes by itself.
func (e *engine) Repair(ctx context.Context, p state.Process) error {
	if p.PID != pid {
		return e.Engine.Repair(ctx, p)
	}
	return nil
}

// Translate adds the error of package state that says the same.
func Translate(err error) error {
	var busy *kernel.BusyError
	for kind, is := range map[error]bool{
		state.ErrBusy:        errors.As(err, &busy),
		state.ErrMismatch:    errors.Is(err, kernel.ErrOtherKernel),
		state.ErrCorrupt:     errors.Is(err, kernel.ErrNotLivepatch),
		state.ErrUnsupported: errors.Is(err, kernel.ErrUnsupported),
	} {
		if is {
			return fmt.Errorf("%w: %w", kind, err)
		}
	}
	return err
}
