package user

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/openeuler/syscare/engine/isa"
	"github.com/openeuler/syscare/engine/patchobject"
)

// maxPicks is how often another address is tried when the process itself took
// the one chosen.
const maxPicks = 8

// loader brings one patch object into the process.
type loader struct {
	*session
	obj    *patchobject.Object
	arch   *isa.Arch
	target image
	layout *layout
	head   *header
	res    *resolver
}

// load brings obj into the process and returns its region, and what takes it
// away again. With ErrAlready it returns the region that is there.
func (s *session) load(ctx context.Context, obj *patchobject.Object) (*header, func() error, error) {
	sum, err := digest(obj)
	if err != nil {
		return nil, nil, err
	}
	id, err := uuid.Parse(obj.Info.UUID)
	if err != nil {
		return nil, nil, err
	}
	maps, all, err := s.regions()
	if err != nil {
		return nil, nil, err
	}
	there := pick(all, id)
	if there != nil && there.state != Removed {
		left, err := s.left(there, obj, all)
		if err == nil && left {
			err = there.setState(s.mem, Removed)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if there != nil && there.state != Removed {
		if there.digest != sum {
			return nil, nil, fmt.Errorf("another build of the patch is loaded: %w", ErrConflict{PID: s.proc.PID, Function: obj.Funcs[0].Name, UUID: there.uuid.String()})
		}
		return there, nil, fmt.Errorf("process %d, patch %s is %v: %w", s.proc.PID, id, there.state, ErrAlready)
	}
	l := &loader{session: s, obj: obj, head: &header{state: Loading, uuid: id, digest: sum, target: obj.Info.TargetID}}
	if err := l.prepare(maps, all); err != nil {
		return nil, nil, err
	}
	l.res.invoke = func(at uint64) (uint64, error) { return l.invoke(ctx, at) }
	if there != nil && there.digest == sum && there.rx.size == l.layout.rxSize && there.rw.size == l.layout.rwSize {
		return l.reuse(ctx, there)
	}
	return l.fresh(ctx)
}

// left reports whether a region was left behind by a library that has been
// unloaded, or has come back elsewhere.
func (s *session) left(h *header, obj *patchobject.Object, all []*header) (bool, error) {
	target, err := locate(s.maps.imagesIn(s.mem), obj.Info.TargetID)
	if err != nil {
		return false, nil // prepare tells
	}
	for _, f := range obj.Funcs {
		at := target.bias + uint64(f.OldAddress)
		if !slices.ContainsFunc(h.functions, func(g function) bool { return g.old.at == at }) {
			return true, nil
		}
	}
	if h.state != Active {
		return false, nil
	}
	in, err := h.inForce(s.mem, layersOf(all))
	return !in, err
}

// prepare does what needs no change in the process.
func (l *loader) prepare(maps []mapping, all []*header) (err error) {
	if l.arch, err = isa.ForMachine(elf.EM_X86_64); err != nil {
		return err
	}
	modules := l.maps.imagesIn(l.mem)
	if l.target, err = locate(modules, l.obj.Info.TargetID); err != nil {
		return err
	}
	if err := l.checkCoroutines(modules); err != nil {
		return err
	}
	stacked := layersOf(all)
	for _, fn := range l.obj.Funcs {
		f, err := l.function(fn, stacked)
		if err != nil {
			return err
		}
		l.head.functions = append(l.head.functions, f)
	}
	if l.layout, err = newLayout(l.obj, l.arch, headerSize(l.head.functions)); err != nil {
		return err
	}
	if err := l.checkUnwinder(maps); err != nil {
		return err
	}
	l.res = &resolver{proc: l.proc, mem: l.mem, target: l.target, all: modules, entry: l.entry.at, binds: l.obj.Binds}
	return l.res.ready()
}

// function checks that the process holds the code that the patch expects, but
// for the jumps of other patches.
func (l *loader) function(fn patchobject.Function, stacked layers) (function, error) {
	f := function{name: fn.Name, old: span{l.target.bias + uint64(fn.OldAddress), fn.OldSize}}
	whole, err := l.mem.bytes(f.old.at, int(f.old.size)+maxJump)
	if err != nil { // it may be the last of its mapping
		whole, err = l.mem.bytes(f.old.at, int(f.old.size))
	}
	if err != nil {
		return f, fmt.Errorf("code of %q: %w", fn.Name, err)
	}
	stacked.unpatched(whole, f.old.at)
	code, padding := whole[:f.old.size], whole[f.old.size:]
	if at, ok := compare(code, fn.Code, fn.Holes); !ok {
		return f, ErrMismatch{PID: l.proc.PID, Function: fn.Name, Offset: at}
	}
	f.digest = sha256.Sum256(code)
	if fn.Kind != patchobject.Replaced {
		return f, nil
	}
	f.jumpOffset = uint32(l.arch.EntryOffset(code))
	end := int(f.jumpOffset) + l.arch.JumpSize
	if missing := end - len(code); missing > 0 && (missing > len(padding) || !l.arch.IsPadding(padding[:missing])) {
		return f, fmt.Errorf("function %q has %d bytes and no padding behind it: too few for a jump", fn.Name, len(code))
	}
	f.saved = bytes.Clone(whole[f.jumpOffset:end])
	f.new.size = l.obj.Symbols[fn.Symbol].Size
	return f, nil
}

// compare returns the first offset outside the holes at which a and b differ.
func compare(a, b []byte, holes []patchobject.Hole) (uint64, bool) {
	masked := bytes.Clone(a)
	for _, h := range holes {
		copy(masked[h.Offset:h.Offset+h.Length], b[h.Offset:])
	}
	for i := range masked {
		if masked[i] != b[i] {
			return uint64(i), false
		}
	}
	return 0, true
}

// bind relocates the patch for address base and completes the header.
func (l *loader) bind(base uint64) ([]byte, error) {
	if err := l.layout.relocate(base, l.res); err != nil {
		return nil, err
	}
	h := l.head
	h.rx = span{base, l.layout.rxSize}
	h.rw = span{}
	if l.layout.rwSize > 0 {
		h.rw = span{h.rx.end(), l.layout.rwSize}
	}
	h.code = span{base + l.layout.code.at, l.layout.code.size}
	h.frame = l.layout.frames()
	if l.layout.hooks.size > 0 {
		h.hooks, h.stack = span{base + l.layout.hooks.at, l.layout.hooks.size}, span{base + l.layout.stack.at, l.layout.stack.size}
	}
	if l.layout.finder.size > 0 {
		h.finder = span{base + l.layout.finder.at, l.layout.finder.size}
	}
	for i, fn := range l.obj.Funcs {
		if fn.Kind != patchobject.Replaced {
			continue
		}
		f := &h.functions[i]
		symbol := l.obj.Symbols[fn.Symbol]
		f.new.at = base + l.layout.sections[symbol.Section] + symbol.Offset
		var err error
		if f.jump, err = l.arch.Jump(f.jumpAt(), f.new.at); err != nil {
			return nil, fmt.Errorf("jump to new %q: %w", fn.Name, err)
		}
	}
	return h.encode()
}

// fill writes the contents; the process runs meanwhile and does not know of
// them.
func (l *loader) fill() error {
	first := l.layout.code.at // whole pages of header come before
	if err := l.mem.write(l.layout.image[first:l.layout.rxSize], l.head.rx.at+first); err != nil {
		return err
	}
	end := l.layout.rxSize + l.layout.rwSize
	if l.layout.stack.size > 0 {
		end = l.layout.stack.at // a hook may still run on it
	}
	if end > l.layout.rxSize {
		return l.mem.write(l.layout.image[l.layout.rxSize:end], l.head.rw.at)
	}
	return nil
}

// reuse fills a removed region of the same patch again.
func (l *loader) reuse(ctx context.Context, there *header) (*header, func() error, error) {
	l.head.state = Removed
	encoded, err := l.bind(there.rx.at)
	if errors.Is(err, isa.ErrRange) {
		return l.fresh(ctx) // the target has moved too far away
	}
	if err != nil {
		return nil, nil, err
	}
	if l.head.finder.size > 0 { // it may still be in the chain
		before := l.layout.image[l.layout.finder.at:][:8]
		if err := l.mem.read(before, l.head.finder.at); err != nil {
			return nil, nil, err
		}
	}
	if err := l.mem.write(encoded, l.head.rx.at); err != nil {
		return nil, nil, err
	}
	if err := l.fill(); err != nil {
		return nil, nil, err
	}
	undo := func() error { return l.head.setState(l.mem, Removed) }
	return l.head, undo, l.head.setState(l.mem, Loaded)
}

// fresh maps new regions.
func (l *loader) fresh(ctx context.Context) (*header, func() error, error) {
	if err := l.checkMemory(); err != nil {
		return nil, nil, err
	}
	low := minAddress()
	for range maxPicks {
		maps, err := l.maps.known()
		if err != nil {
			return nil, nil, err
		}
		base, ok := place(maps, span{l.target.lo, l.target.hi - l.target.lo}, l.layout.rxSize+l.layout.rwSize, low)
		if !ok {
			return nil, nil, ErrNoRoom{PID: l.proc.PID, Bytes: l.layout.rxSize + l.layout.rwSize, Target: l.target.buildID}
		}
		encoded, err := l.bind(base)
		if err != nil {
			return nil, nil, err
		}
		if err := l.watched(l.head.rx, l.head.rw); err != nil {
			return nil, nil, err
		}
		switch err := l.retry(ctx, func() error { return l.borrow(func(r *remote) error { return l.mapRegions(r, encoded) }) }); {
		case errors.Is(err, unix.EEXIST):
			continue
		case err != nil:
			return nil, nil, fmt.Errorf("map memory for the patch: %w", err)
		}
		undo := func() error { return l.discard(ctx, l.head) }
		if err := l.fill(); err != nil {
			return nil, nil, errors.Join(err, undo())
		}
		if err := l.head.setState(l.mem, Loaded); err != nil {
			return nil, nil, errors.Join(err, undo())
		}
		return l.head, undo, nil
	}
	return nil, nil, ErrNoRoom{PID: l.proc.PID, Bytes: l.layout.rxSize + l.layout.rwSize, Target: l.target.buildID}
}

// invoke calls a function of the process in a borrowed thread.
func (s *session) invoke(ctx context.Context, at uint64) (result uint64, err error) {
	if err := s.watched(); err != nil {
		return 0, err
	}
	err = s.retry(ctx, func() error {
		return s.borrow(func(r *remote) error {
			result, err = r.invoke(at)
			return err
		})
	})
	return result, err
}

// mapRegions maps both regions and marks them, or neither.
func (l *loader) mapRegions(r *remote, encoded []byte) error {
	h := l.head
	if err := r.mapAt(h.rx.at, h.rx.size, unix.PROT_READ|unix.PROT_EXEC); err != nil {
		return err
	}
	if h.rw.size > 0 {
		if err := r.mapAt(h.rw.at, h.rw.size, unix.PROT_READ|unix.PROT_WRITE); err != nil {
			return errors.Join(err, r.unmap(h.rx.at, h.rx.size))
		}
	}
	if err := l.mem.write(encoded, h.rx.at); err != nil {
		return errors.Join(err, unmapRegions(r, h.rx, h.rw))
	}
	return nil
}

func unmapRegions(r *remote, rx, rw span) error {
	var err error
	if rw.size > 0 {
		err = r.unmap(rw.at, rw.size)
	}
	return errors.Join(err, r.unmap(rx.at, rx.size))
}

// discard unmaps a region that no jump ever led to, unless one of its hooks may
// still run.
func (s *session) discard(ctx context.Context, h *header) error {
	if h.stray {
		return h.setState(s.mem, Removed)
	}
	if err := h.setState(s.mem, Loading); err != nil {
		return err
	}
	return s.retry(ctx, func() error {
		return s.borrow(func(r *remote) error { return unmapRegions(r, h.rx, h.rw) })
	})
}
