package user

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/openeuler/syscare/engine/isa"
	"github.com/openeuler/syscare/engine/patchobject"
)

// slotKey names one entry of the region's table of addresses: a bind or a
// place in the patch.
type slotKey struct {
	bind    string
	section int
	value   uint64
	kind    isa.RelocKind // of slots for thread-local variables, else 0
}

// slots is how many entries the key takes.
func (k slotKey) slots() uint64 {
	if k.kind == isa.SlotModule || k.kind == isa.SlotModuleBase {
		return 2
	}
	return 1
}

const slotSize, stubRoom = 8, 8

// layout says where each section, stub and slot goes, relative to the start of
// the read-execute region.
type layout struct {
	obj            *patchobject.Object
	arch           *isa.Arch
	sections       []uint64
	code           span
	slots, stubs   map[slotKey]uint64
	finder         span
	hooks, stack   span
	order          []slotKey // of both, so that the same patch has the same layout
	rxSize, rwSize uint64
	base           uint64
	image          []byte // both regions
}

func align(n, to uint64) uint64 { return (n + to - 1) &^ (to - 1) }

// newLayout lays out the regions of obj after a header of that size. The code
// comes first and in one piece, so that one range says what is code.
func newLayout(obj *patchobject.Object, arch *isa.Arch, header int) (*layout, error) {
	l := &layout{obj: obj, arch: arch, sections: make([]uint64, len(obj.Sections)), slots: map[slotKey]uint64{}, stubs: map[slotKey]uint64{}}
	at := align(uint64(header), pageSize)
	put := func(want func(patchobject.Section) bool) {
		for i, s := range obj.Sections {
			if want(s) {
				at = align(at, s.Align)
				l.sections[i] = at
				at += s.Size
			}
		}
	}
	if err := l.collect(); err != nil {
		return nil, err
	}
	l.code.at = at
	put(func(s patchobject.Section) bool { return s.Exec })
	at = align(at, 16)
	for _, k := range l.order {
		if _, ok := l.stubs[k]; ok {
			l.stubs[k] = at
			at += stubRoom
		}
	}
	l.code.size = at - l.code.at
	put(func(s patchobject.Section) bool { return !s.Exec && !s.Writable })
	at = align(at, slotSize)
	for _, k := range l.order {
		l.slots[k] = at
		at += slotSize * k.slots()
	}
	l.finder.at = at
	if frames := l.section(".eh_frame"); frames != nil {
		var err error
		if l.finder.size, err = framesSize(frames.Data, arch); err != nil {
			return nil, err
		}
	}
	at += l.finder.size
	if n := l.countHooks(); n > 0 {
		l.hooks = span{at, uint64(hookTable + n*hookEntry)}
		at = l.hooks.end()
	}
	l.rxSize = align(at, pageSize)
	at = l.rxSize
	put(func(s patchobject.Section) bool { return s.Writable })
	if l.hooks.size > 0 {
		l.stack = span{align(at, pageSize), hookStack}
		at = l.stack.end()
	}
	l.rwSize = align(at, pageSize) - l.rxSize
	return l, nil
}

// collect finds which slots and stubs the relocations may need.
func (l *layout) collect() error {
	for _, s := range l.obj.Sections {
		for _, r := range s.Relocs {
			typ, err := l.arch.Reloc(r.Type)
			if err != nil {
				return fmt.Errorf("section %q: %w", s.Name, err)
			}
			k := keyOf(r, typ)
			slot := typ.Kind == isa.SlotRelative || k.kind != 0
			stub := !slot && r.Bind != "" && l.branches(s, r, typ)
			if _, known := l.slots[k]; (slot || stub) && !known {
				l.slots[k] = 0
				l.order = append(l.order, k)
			}
			if stub {
				l.stubs[k] = 0
			}
		}
	}
	return nil
}

func (l *layout) branches(s patchobject.Section, r patchobject.Reloc, typ isa.RelocType) bool {
	return typ.Kind == isa.Branch || s.Exec && l.arch.IsBranch(s.Data, r.Offset, r.Type)
}

func keyOf(r patchobject.Reloc, typ isa.RelocType) slotKey {
	switch typ.Kind {
	case isa.SlotModuleBase:
		return slotKey{kind: typ.Kind}
	case isa.SlotTLS, isa.SlotModule:
		return slotKey{bind: r.Bind, kind: typ.Kind}
	}
	k := slotKey{bind: r.Bind}
	if r.Bind == "" {
		k.section, k.value = r.Section, r.Value
	}
	return k
}

// relocate fills l.image for regions at address base.
func (l *layout) relocate(base uint64, res *resolver) error {
	l.base = base
	l.image = make([]byte, l.rxSize+l.rwSize)
	for i, s := range l.obj.Sections {
		copy(l.image[l.sections[i]:], s.Data)
	}
	for i, s := range l.obj.Sections {
		data := l.image[l.sections[i] : l.sections[i]+s.Size]
		for _, r := range s.Relocs {
			typ, err := l.arch.Reloc(r.Type)
			if err == nil {
				err = l.apply(s, data, r, typ, res)
			}
			if err != nil {
				return fmt.Errorf("section %q, offset %#x: %w", s.Name, r.Offset, err)
			}
		}
	}
	l.fillHooks()
	return l.fillFinder()
}

func (l *layout) apply(s patchobject.Section, data []byte, r patchobject.Reloc, typ isa.RelocType, res *resolver) error {
	place := l.base + l.sections[s.Index] + r.Offset
	branches := l.branches(s, r, typ)
	switch typ.Kind {
	case isa.ThreadOffset, isa.ModuleOffset:
		find := res.threadOffset
		if typ.Kind == isa.ModuleOffset {
			find = res.moduleOffset
		}
		offset, err := find(r.Bind)
		if err != nil {
			return err
		}
		return typ.Store(data, r.Offset, offset+r.Addend)
	case isa.SlotTLS, isa.SlotModule, isa.SlotModuleBase:
		slot, err := l.threadSlot(keyOf(r, typ), res)
		if err != nil {
			return err
		}
		return typ.Store(data, r.Offset, int64(slot)+r.Addend-int64(place))
	case isa.SlotRelative:
		slot, err := l.slotFor(r, typ, branches, res)
		if err != nil {
			return err
		}
		return typ.Store(data, r.Offset, int64(slot)+r.Addend-int64(place))
	}
	if branches && r.Bind != "" {
		to, err := l.branchTo(r, typ, place, res)
		if err != nil {
			return err
		}
		return typ.Store(data, r.Offset, int64(to)+r.Addend-int64(place))
	}
	to, err := l.address(r, res)
	if err != nil {
		return err
	}
	value := int64(to) + r.Addend
	if typ.Kind != isa.Absolute {
		value -= int64(place)
	}
	return typ.Store(data, r.Offset, value)
}

// address is where a relocation's symbol is.
func (l *layout) address(r patchobject.Reloc, res *resolver) (uint64, error) {
	if r.Bind == "" {
		return l.base + l.sections[r.Section] + r.Value, nil
	}
	return res.address(r.Bind)
}

// slotFor is the address of a slot that holds the symbol's address. A call
// through a slot uses the target's own, which the dynamic linker keeps.
func (l *layout) slotFor(r patchobject.Reloc, typ isa.RelocType, branches bool, res *resolver) (uint64, error) {
	if branches && r.Bind != "" {
		if slot, ok := res.callSlot(r.Bind); ok {
			return slot, nil
		}
	}
	to, err := l.address(r, res)
	if err != nil {
		return 0, err
	}
	return l.fillSlot(keyOf(r, typ), to), nil
}

// threadSlot is the address of the slots for a thread-local variable.
func (l *layout) threadSlot(k slotKey, res *resolver) (uint64, error) {
	switch k.kind {
	case isa.SlotTLS:
		offset, err := res.threadOffset(k.bind)
		return l.fillSlot(k, uint64(offset)), err
	case isa.SlotModule:
		module, offset, err := res.modulePlace(k.bind)
		binary.LittleEndian.PutUint64(l.image[l.slots[k]+slotSize:], offset)
		return l.fillSlot(k, module), err
	}
	module, err := res.ownModule()
	return l.fillSlot(k, module), err
}

func (l *layout) fillSlot(k slotKey, value uint64) uint64 {
	binary.LittleEndian.PutUint64(l.image[l.slots[k]:], value)
	return l.base + l.slots[k]
}

// branchTo is where a branch to a bind goes: the place itself if it is within
// reach, else a stub.
func (l *layout) branchTo(r patchobject.Reloc, typ isa.RelocType, from uint64, res *resolver) (uint64, error) {
	k := keyOf(r, typ)
	slot, own := res.callSlot(r.Bind)
	if !own {
		to, err := res.address(r.Bind)
		if err != nil {
			return 0, err
		}
		if d := int64(to - from); to != 0 && d < reach && d > -reach {
			return to, nil
		}
		slot = l.fillSlot(k, to)
	}
	at := l.base + l.stubs[k]
	code, err := l.arch.Stub(at, slot)
	if err != nil {
		return 0, fmt.Errorf("stub for %q: %w", r.Bind, err)
	}
	copy(l.image[l.stubs[k]:], code)
	return at, nil
}

// frames is where the unwind information is; patches have one .eh_frame.
func (l *layout) frames() span {
	if s := l.section(".eh_frame"); s != nil {
		return span{l.base + l.sections[s.Index], s.Size}
	}
	return span{}
}

func (l *layout) section(name string) *patchobject.Section {
	for i := range l.obj.Sections {
		if l.obj.Sections[i].Name == name {
			return &l.obj.Sections[i]
		}
	}
	return nil
}

// digest names the content of a patch object.
func digest(obj *patchobject.Object) ([32]byte, error) {
	if last := lastDigest.Load(); last != nil && last.obj == obj {
		return last.sum, nil
	}
	data, err := json.Marshal(obj)
	sum := sha256.Sum256(data)
	if err == nil {
		lastDigest.Store(&digested{obj, sum})
	}
	return sum, err
}

// lastDigest is that of the last object: one patch goes into many processes.
var lastDigest atomic.Pointer[digested]

type digested struct {
	obj *patchobject.Object
	sum [32]byte
}
