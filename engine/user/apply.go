package user

import (
	"context"
	"errors"
	"fmt"

	"github.com/openeuler/syscare/engine/patchobject"
)

// Apply loads obj into the process and activates it. An error leaves the
// process as it was. ErrAlready says that the patch is active.
func Apply(ctx context.Context, p Process, obj *patchobject.Object, opts Options) (Report, error) {
	return within(ctx, p, opts, func(s *session) error {
		h, undo, err := s.load(ctx, obj)
		if errors.Is(err, ErrAlready) && h.state != Active {
			undo, err = func() error { return nil }, nil
		}
		if err != nil {
			return err
		}
		if err := s.redirect(ctx, h, true); err != nil {
			return errors.Join(err, undo())
		}
		return nil
	})
}

// Replace applies obj and takes out the patch with the UUID old, in one stop: no
// moment sees the functions of both without a patch, or some of each. An error
// leaves the process with the old patch. If that is not active, it is Apply.
func Replace(ctx context.Context, p Process, obj *patchobject.Object, old string, opts Options) (Report, error) {
	return within(ctx, p, opts, func(s *session) error {
		if old == obj.Info.UUID {
			return fmt.Errorf("patch %s cannot take its own place: %w", old, ErrAlready)
		}
		retired, err := s.region(old)
		if err != nil && !errors.Is(err, ErrNotApplied) {
			return err
		}
		h, undo, err := s.load(ctx, obj)
		if errors.Is(err, ErrAlready) && h.state != Active {
			undo, err = func() error { return nil }, nil
		}
		if err != nil {
			return err
		}
		leaving := retired
		if leaving != nil && leaving.state != Active {
			leaving = nil
		}
		if err := s.replace(ctx, h, leaving, true); err != nil {
			return errors.Join(err, undo())
		}
		if retired != nil {
			return retired.setState(s.mem, Removed)
		}
		return nil
	})
}

// Load brings the patch into the process without redirecting anything.
// ErrAlready says that it is there.
func Load(ctx context.Context, p Process, obj *patchobject.Object, opts Options) (Report, error) {
	return within(ctx, p, opts, func(s *session) error {
		_, _, err := s.load(ctx, obj)
		return err
	})
}

// Activate redirects the functions of a patch that is loaded. ErrAlready says
// that they are.
func Activate(ctx context.Context, p Process, uuid string, opts Options) (Report, error) {
	return within(ctx, p, opts, func(s *session) error {
		h, err := s.region(uuid)
		if err != nil {
			return err
		}
		if h.state == Active {
			return fmt.Errorf("process %d, patch %s is active: %w", p.PID, uuid, ErrAlready)
		}
		return s.redirect(ctx, h, true)
	})
}

// Deactivate gives the functions of a patch their old code back. ErrAlready
// says that they have it.
func Deactivate(ctx context.Context, p Process, uuid string, opts Options) (Report, error) {
	return within(ctx, p, opts, func(s *session) error {
		h, err := s.region(uuid)
		if err != nil {
			return err
		}
		if h.state != Active {
			return fmt.Errorf("process %d, patch %s is not active: %w", p.PID, uuid, ErrAlready)
		}
		return s.deactivate(ctx, h, Inactive)
	})
}

// deactivate takes a patch out of force and leaves it in a state. If its library
// was unloaded there is nothing to take out.
func (s *session) deactivate(ctx context.Context, h *header, after State) error {
	_, all, err := s.regions()
	if err != nil {
		return err
	}
	in, err := h.inForce(s.mem, layersOf(all))
	if err != nil {
		return err
	}
	if in {
		if err := s.redirect(ctx, h, false); err != nil {
			return err
		}
	}
	return h.setState(s.mem, after)
}

// Remove deactivates the patch if need be and forgets it. Its memory stays
// mapped, for somebody may hold a pointer into it, and serves again when the
// same patch comes back. ErrNotApplied says that it is not there.
func Remove(ctx context.Context, p Process, uuid string, opts Options) (Report, error) {
	return within(ctx, p, opts, func(s *session) error {
		h, err := s.region(uuid)
		if err != nil {
			return err
		}
		if h.state == Active {
			return s.deactivate(ctx, h, Removed)
		}
		return h.setState(s.mem, Removed)
	})
}

// Repair finishes or undoes what a transaction that was killed left behind.
// Every transaction begins with it.
func Repair(ctx context.Context, p Process) error {
	_, err := within(ctx, p, Options{}, func(*session) error { return nil })
	return err
}
