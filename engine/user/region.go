package user

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/openeuler/syscare/engine/object"
)

// AppliedPatch is a patch that a process holds.
type AppliedPatch struct {
	UUID      string
	State     State
	Target    object.BuildID
	Functions []AppliedFunction
	Region    uint64 // address of the read-execute region
	Bytes     uint64 // mapped for the patch, both regions
}

// AppliedFunction is a replaced function as the process's memory shows it.
type AppliedFunction struct {
	Name     string
	Address  uint64
	New      uint64
	Redirect bool // the jump to the new code is in place
	Covered  bool // it is not, because a newer patch replaces the function too
}

// regionsIn returns the well-formed regions among maps.
func regionsIn(mem memory, maps []mapping) []*header {
	var all []*header
	for _, m := range maps {
		if !isRegion(m) {
			continue
		}
		if h, err := readHeader(mem, m); err == nil {
			all = append(all, h)
		}
	}
	return all
}

func isRegion(m mapping) bool {
	return m.anonymous() && m.read && m.exec && !m.write && m.priv
}

func readHeader(mem memory, m mapping) (*header, error) {
	first, err := mem.bytes(m.start, headerFixed)
	if err != nil {
		return nil, err
	}
	n, ok := headerLength(first)
	if !ok || uint64(n) > m.end-m.start {
		return nil, errHeader
	}
	b, err := mem.bytes(m.start, n)
	if err != nil {
		return nil, err
	}
	h, err := parseHeader(b, m.start)
	if err == nil && h.rx.end() != m.end {
		return nil, fmt.Errorf("%w: the mapping has another size", errHeader)
	}
	return h, err
}

// pick returns the region of the patch: a live one before a removed one.
func pick(regions []*header, id uuid.UUID) *header {
	var removed *header
	for _, h := range regions {
		if h.uuid != id {
			continue
		}
		if h.state != Removed {
			return h
		}
		removed = h
	}
	return removed
}

func (h *header) setState(mem memory, s State) error {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], uint32(s))
	if err := mem.write(b[:], h.rx.at+stateOffset); err != nil {
		return fmt.Errorf("record state %v: %w", s, err)
	}
	h.state = s
	return nil
}

// setOrder makes the patch the newest of those that are active.
func (h *header) setOrder(mem memory, order uint64) error {
	if err := mem.write(binary.LittleEndian.AppendUint64(nil, order), h.rx.at+orderOffset); err != nil {
		return fmt.Errorf("record the order of activation: %w", err)
	}
	h.order = order
	return nil
}

// redirected reports for each function whether its jump is in place.
func (h *header) redirected(mem memory) ([]bool, error) {
	in := make([]bool, len(h.functions))
	for i, f := range h.functions {
		if !f.redirects() {
			continue
		}
		now, err := mem.bytes(f.jumpAt(), len(f.jump))
		if err != nil && !errors.Is(err, unix.EIO) { // the library may be unmapped
			return nil, err
		}
		in[i] = bytes.Equal(now, f.jump)
	}
	return in, nil
}

// inForce reports whether any jump of the patch is in place, or would be if no
// newer patch had its own there. It is not if the code was unmapped.
func (h *header) inForce(mem memory, stacked layers) (bool, error) {
	in, err := h.redirected(mem)
	if err != nil {
		return false, err
	}
	for i, f := range h.functions {
		if in[i] || f.redirects() && h.covered(mem, stacked, f) {
			return true, nil
		}
	}
	return false, nil
}

// covered reports whether a newer patch has its jump in the place of that of f.
func (h *header) covered(mem memory, stacked layers, f function) bool {
	if h.state != Active {
		return false
	}
	now, err := mem.bytes(f.jumpAt(), len(f.jump))
	return err == nil && !bytes.Equal(now, f.saved) && bytes.Equal(now, stacked.entry(f))
}

// Applied returns what the process with pid holds, read from its memory, the
// active patches last and in the order of their activation. A
// state that the bytes at the functions belie is corrected: Active means that
// every jump is in place.
func Applied(ctx context.Context, pid int) ([]AppliedPatch, error) {
	p, err := Open(pid)
	if err != nil {
		return nil, err
	}
	list, err := p.applied(ctx)
	return list, p.explain(err)
}

func (p Process) applied(ctx context.Context) (list []AppliedPatch, err error) {
	err = p.look(ctx, func(mem memory, all []*header) error {
		list, err = appliedIn(mem, layersOf(all))
		return err
	})
	return list, err
}

func appliedIn(mem memory, stacked layers) ([]AppliedPatch, error) {
	var list []AppliedPatch
	for _, h := range stacked {
		in, err := h.redirected(mem)
		if err != nil {
			return nil, err
		}
		a := AppliedPatch{UUID: h.uuid.String(), State: h.state, Target: h.target, Region: h.rx.at, Bytes: h.rx.size + h.rw.size}
		all, some := true, false
		for i, f := range h.functions {
			if !f.redirects() {
				continue
			}
			covered := !in[i] && h.covered(mem, stacked, f)
			all, some = all && (in[i] || covered), some || in[i] || covered
			a.Functions = append(a.Functions, AppliedFunction{Name: f.name, Address: f.old.at, New: f.new.at, Redirect: in[i], Covered: covered})
		}
		switch {
		case h.state.transitional():
		case some && !all:
			a.State = Activating
		case all && h.state != Active:
			a.State = Active
		case !some && h.state == Active:
			a.State = Inactive
		}
		list = append(list, a)
	}
	return list, nil
}
