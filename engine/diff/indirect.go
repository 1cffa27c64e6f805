package diff

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/openeuler/syscare/engine/isa"
	"github.com/openeuler/syscare/engine/object"
)

// Where the processor checks indirect branches (CONFIG_X86_KERNEL_IBT), a function can be
// called by its address only if it begins with endbr64, and kernels take that away at their
// start from the functions whose address nothing takes: sealedEntries lists these, see
// arch/x86/kernel/alternative.c. A new pointer to such a function would end in a panic.
const sealedEntries = ".ibt_endbr_seal"

// checkIndirect refuses a reference of the fix, which is no branch, if it is the address of a
// function of the shipped kernel that cannot be called by it.
func (l *livepatch) checkIndirect(e *emitter, u *emittedUnit, n *node, typ isa.RelocType, r object.Reloc) error {
	t, s, err := l.addressOf(e, u, n, typ, r)
	if err != nil || s == nil || u.original.takesAddress(u.pair, s.Name) {
		return err
	}
	reachable, err := t.reachable(e.arch, s)
	if err != nil {
		return u.refuse(n.name, "it takes the address of %q: %v", s.Name, err)
	}
	if !reachable {
		return u.refuse(n.name, "it takes the address of %q, which nothing did in the kernel that was shipped: a processor that checks indirect calls (IBT) would not let it be called by it. "+
			"Take that of a new function which calls it", s.Name)
	}
	return nil
}

// addressOf finds the shipped function whose address a reference is; nil if it is none.
func (l *livepatch) addressOf(e *emitter, u *emittedUnit, n *node, typ isa.RelocType, r object.Reloc) (*target, *object.Symbol, error) {
	owner, to := u, (*node)(nil)
	if inside, ok := u.patched.refersTo(n, r); ok {
		if !inside.node.isFunction() || !u.entersFunction(n, typ, inside) {
			return nil, nil, nil
		}
		to = inside.node
	} else if d, ok := e.defined[r.Symbol.FullName()]; ok {
		owner, to = d.unit, d.node
	}
	if to != nil {
		if !to.isFunction() || to.twin == nil || to.twin.primary == nil {
			return nil, nil, nil // new code, which the compiler has made for it
		}
		s, err := e.lookUp(owner, to.twin.primary)
		return owner.target, s, err
	}
	t, s := u.target, u.target.global(r.Symbol)
	if s == nil {
		t, s = l.provider(u.target, r.Symbol)
	}
	if s == nil || s.Type != elf.STT_FUNC {
		return nil, nil, nil
	}
	return t, s, nil
}

// takesAddress reports whether something in the unit takes the address of a function.
func (u *unit) takesAddress(p *pair, name string) bool {
	if u.taken == nil {
		u.taken = map[string]bool{}
		for _, n := range u.nodes {
			for _, r := range n.relocs {
				typ, err := u.arch.Reloc(r.Type)
				if err != nil || n.isCode() && u.arch.IsBranch(n.data, r.Offset, r.Type) {
					continue
				}
				to, inside := u.refersTo(n, r)
				switch {
				case !inside:
					u.taken[r.Symbol.Name] = true
				case to.node.isFunction() && to.node.primary != nil && p.entersFunction(n, typ, to):
					u.taken[to.node.primary.Name] = true
				}
			}
		}
	}
	return u.taken[name]
}

// reachable reports whether a function of a shipped kernel can be called by its address.
func (t *target) reachable(arch *isa.Arch, s *object.Symbol) (bool, error) {
	code, err := t.bytesAt(s)
	if err != nil {
		return false, err
	}
	if code == nil {
		return false, errors.New("whether it can be called by that is not known, for its code is not in the debuginfo package")
	}
	if arch.EntryOffset(code) == 0 {
		return false, nil
	}
	if t.sealed == nil {
		if t.sealed, err = t.readSealed(); err != nil {
			return false, fmt.Errorf("section %q: %w", sealedEntries, err)
		}
	}
	if t.file.Type == elf.ET_REL {
		return !t.sealed[entry{s.Section, s.Value}], nil
	}
	return !t.sealed[entry{nil, s.Value}], nil
}

// entry is where a function begins: its section is that of a module, nil for the kernel.
type entry struct {
	section *object.Section
	at      uint64
}

// readSealed reads the list: of a module relocations, of the kernel distances from the place
// in the list.
func (t *target) readSealed() (map[entry]bool, error) {
	sealed := map[entry]bool{}
	section := t.file.Section(sealedEntries)
	if section == nil {
		return sealed, nil
	}
	if t.file.Type == elf.ET_REL {
		relocs, err := t.file.Relocs(section)
		for _, r := range relocs {
			sealed[entry{r.Symbol.Section, r.Symbol.Value + uint64(r.Addend)}] = true
		}
		return sealed, err
	}
	data, err := section.Bytes()
	if err != nil {
		return nil, err
	}
	for at := 0; at+4 <= len(data); at += 4 {
		to := uint64(section.Address) + uint64(at) + uint64(int64(int32(binary.LittleEndian.Uint32(data[at:]))))
		sealed[entry{nil, to}] = true
	}
	return sealed, nil
}
