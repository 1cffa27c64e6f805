package diff

import (
	"debug/elf"
	"strings"

	"github.com/openeuler/syscare/engine/isa"
)

const (
	langAssembler = 0x8001
	langC89       = 0x0001
	langC         = 0x0002
	langC99       = 0x000c
	langC11       = 0x001d
	langC17       = 0x002c
)

// checkUnit refuses units that cannot be patched whatever changed in them.
func (p *pair) checkUnit() error {
	_, language := compileUnitName(p.original.file)
	switch language {
	case 0, langC89, langC, langC99, langC11, langC17:
	case langAssembler:
		return p.refuse("", "changed assembly is not supported: only C can be patched")
	default:
		return p.refuse("", "the unit is not C (DWARF language %#x): only C can be patched", language)
	}
	return nil
}

// guardData refuses changes of what is alive in every process: existing data,
// thread-local variables, and whatever is not understood.
func (p *pair) guardData() error {
	for _, n := range p.patched.nodes {
		name := n.name
		switch {
		case n.kind == kindPool || n.kind == kindAnonymous:
		case n.kind == kindTLS && n.twin == nil:
			return p.refuse(name, "new thread-local variable: running threads have no room for it")
		case n.kind == kindTLS && n.changed:
			return p.refuse(name, "the size or initial value of a thread-local variable changed: it is alive in running threads")
		case n.kind == kindData && n.primary == nil && (n.twin == nil || n.changed):
			return p.refuse(name, "section %q changed: it is not made of functions and data that can be told apart", n.section.Name)
		case n.kind == kindData && n.changed && n.twin.section.Size != n.section.Size:
			return p.refuse(name, "the size of existing data changed from %d to %d bytes: the old object is alive in running processes", n.twin.section.Size, n.section.Size)
		case n.kind == kindData && n.changed:
			return p.refuse(name, "the initial value of existing data changed: running processes keep the old one")
		case n.isFunction() && n.primary == nil && (n.twin == nil || n.changed):
			return p.refuse("", "code in section %q changed that belongs to no function (assembly at file level)", n.section.Name)
		case n.isFunction() && (n.twin == nil || n.changed):
			if err := p.guardFunction(n); err != nil {
				return err
			}
		}
	}
	for _, n := range p.original.nodes {
		if n.kind == kindData && n.primary == nil && n.twin == nil {
			return p.refuse(n.name, "section %q is gone: it is not made of functions and data that can be told apart", n.section.Name)
		}
	}
	return nil
}

func (p *pair) guardFunction(n *node) error {
	for _, s := range n.symbols {
		if s.Type == elf.STT_GNU_IFUNC {
			return p.refuse(n.name, "it chooses an implementation when the program is loaded (ifunc): that choice has been made in running processes")
		}
		if s.Type == elf.STT_FUNC && s.Value != n.primary.Value {
			return p.refuse(n.name, "it shares section %q with %q", n.section.Name, s.Name)
		}
	}
	for _, s := range p.patched.file.Sections {
		if strings.HasPrefix(s.Name, ".gcc_except_table") && s.Size > 0 {
			if suffix := strings.TrimPrefix(s.Name, ".gcc_except_table"); suffix == "" || suffix == "."+n.name {
				return p.refuse(n.name, "it has clean-ups that run when an exception passes (-fexceptions): not supported")
			}
		}
	}
	if n.section.Flags&elf.SHF_GROUP != 0 {
		return p.refuse(n.name, "it is in a group that several units share (COMDAT): not supported")
	}
	return nil
}

// selected returns the nodes that go into the patch, in file order: changed
// and new functions, and what they need that no process has yet.
func (p *pair) selected() ([]*node, error) {
	chosen := map[*node]bool{}
	var queue []*node
	take := func(n *node) {
		if !chosen[n] {
			chosen[n] = true
			queue = append(queue, n)
		}
	}
	for _, n := range p.patched.nodes {
		if n.isFunction() && n.changed || n.isFunction() && n.twin == nil && n.primary != nil && n.primary.Bind != elf.STB_LOCAL {
			take(n)
		}
	}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		for _, other := range []*node{n.child, n.parent} {
			if other != nil {
				take(other)
			}
		}
		for _, r := range n.relocs {
			to, inside := p.patched.refersTo(n, r)
			if !inside || to.node.kind == kindPool {
				continue
			}
			if p.ambiguous(to.node) {
				return nil, p.refuse(n.name, "it uses %q, which cannot be told apart from an existing variable of the same name", to.node.name)
			}
			if p.isNew(to.node) {
				take(to.node)
			}
		}
	}
	var nodes []*node
	for _, n := range p.patched.nodes {
		if chosen[n] {
			nodes = append(nodes, n)
		}
	}
	return nodes, nil
}

// isNew reports whether a reference to n from inside the patch means a copy in
// the patch, not something that the target has.
func (p *pair) isNew(n *node) bool {
	return n.kind == kindAnonymous || n.twin == nil || n.isFunction() && n.changed
}

// entersFunction reports whether r, in from, is the address of the very start
// of the function to: what programs store and compare. Other references into a
// function are its own labels.
func (p *pair) entersFunction(from *node, typ isa.RelocType, to place) bool {
	if typ.Kind == isa.Relative && !from.isFunction() {
		return false // an entry of a jump table
	}
	offset := to.offset
	if typ.Kind != isa.Absolute {
		offset += int64(typ.Size) // relative to the end of the instruction
	}
	return to.node.primary != nil && offset == int64(to.node.primary.Value)
}
