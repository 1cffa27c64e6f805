package user

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// repair puts a process right that a killed transaction left halfway. planned
// are regions that may have been mapped without their header yet; only the
// guard knows of those.
func (s *session) repair(ctx context.Context, planned []span) error {
	if stubbed, err := s.entry.stubbed(s.mem); err != nil {
		return err
	} else if stubbed {
		if err := s.retry(ctx, s.restoreEntry); err != nil {
			return fmt.Errorf("restore the entry point: %w", err)
		}
	}
	maps, all, err := s.regions()
	if err != nil {
		return err
	}
	stacked := layersOf(all)
	// A patch that was taking another's place gets it: then that one ends.
	for _, h := range all {
		if h.state != Replacing {
			continue
		}
		s.opts.Logger.Warn("finishing an interrupted transaction", "pid", s.proc.PID, "patch", h.uuid)
		if err := s.retry(ctx, func() error { return s.restoreCode(h, stacked, Active) }); err != nil {
			return fmt.Errorf("finish patch %s: %w", h.uuid, err)
		}
		stacked = layersOf(all)
	}
	for _, h := range all {
		switch h.state {
		case Activating, Deactivating:
			s.opts.Logger.Warn("undoing an interrupted transaction", "pid", s.proc.PID, "patch", h.uuid, "state", h.state)
			if err := s.retry(ctx, func() error { return s.restoreCode(h, stacked, Inactive) }); err != nil {
				return fmt.Errorf("undo patch %s: %w", h.uuid, err)
			}
		case Loading:
			if err := s.watched(h.rx, h.rw); err != nil {
				return err
			}
			if err := s.discard(ctx, h); err != nil {
				return fmt.Errorf("unmap patch %s: %w", h.uuid, err)
			}
		}
	}
	var left []span
	for _, p := range planned {
		if s.unmarked(maps, p) {
			left = append(left, p)
		}
	}
	if len(left) == 0 {
		return nil
	}
	return s.retry(ctx, func() error {
		return s.borrow(func(r *remote) error {
			var err error
			for _, p := range left {
				err = errors.Join(err, r.unmap(p.at, p.size))
			}
			return err
		})
	})
}

// unmarked reports whether exactly p is mapped, anonymous and still empty: our
// mmap was the last thing that happened.
func (s *session) unmarked(maps []mapping, p span) bool {
	m := find(maps, p.at)
	if p.size == 0 || m == nil || !m.anonymous() || !m.priv || m.start != p.at || m.end != p.end() || p.size > maxRegion {
		return false
	}
	data, err := s.mem.bytes(p.at, int(p.size))
	return err == nil && len(bytes.Trim(data, "\x00")) == 0
}

// stopped runs f while every thread stands.
func (s *session) stopped(f func(*tracer) error) error {
	var err error
	s.trace(func(t *tracer) bool {
		if err = t.stopAll(); err == nil {
			if err = t.loadRegs(); err == nil {
				err = f(t)
			}
		}
		return t.release()
	})
	return err
}

// restoreEntry takes the stub away as soon as no thread is in it.
func (s *session) restoreEntry() error {
	return s.stopped(func(t *tracer) error {
		if awaitingStub(t, s.entry) {
			return errUnfit
		}
		return s.mem.write(s.entry.original, s.entry.at)
	})
}

// restoreCode puts at the entries of a patch's functions what belongs there when
// the patch is in the state that is given. No thread can be in the middle of a
// jump, so no further rule applies; new code that runs meanwhile stays mapped.
// What is neither a jump of ours nor a torn write of one stays.
func (s *session) restoreCode(h *header, stacked layers, after State) error {
	return s.stopped(func(*tracer) error {
		for _, f := range h.functions {
			if !f.redirects() {
				continue
			}
			now, err := s.mem.bytes(f.jumpAt(), len(f.jump))
			if errors.Is(err, unix.EIO) {
				continue // the library was unloaded
			}
			if err != nil {
				return err
			}
			want := stacked.entry(f, h)
			if after == Active {
				want = f.jump
			}
			if stacked.explains(f, now) && !bytes.Equal(now, want) {
				if err := s.mem.write(want, f.jumpAt()); err != nil {
					return err
				}
			}
		}
		return h.setState(s.mem, after)
	})
}
