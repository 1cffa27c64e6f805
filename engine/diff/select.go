package diff

import (
	"debug/elf"
	"slices"
	"strings"

	"github.com/openeuler/syscare/engine/isa"
)

// guardData refuses changes of what is alive in every process: existing data,
// thread-local variables, and whatever is not understood. It gives all refusals.
func (p *pair) guardData() (refusals []error) {
	for _, n := range p.patched.nodes {
		if err := p.guardNode(n); err != nil {
			refusals = append(refusals, err)
		}
	}
	for _, n := range p.original.nodes {
		if n.kind == kindData && n.primary == nil && n.twin == nil {
			refusals = append(refusals, p.refuse(n.name, "section %q is gone: it is not made of functions and data that can be told apart", n.section.Name))
		}
	}
	return refusals
}

func (p *pair) guardNode(n *node) error {
	name := n.name
	switch {
	case n.kind == kindPool || n.kind == kindAnonymous || n.copied:
	case n.kind == kindTLS && n.twin == nil:
		return p.refuse(name, "new thread-local variable: running threads have no room for it")
	case n.kind == kindTLS && n.changed:
		return p.refuse(name, "the size or initial value of a thread-local variable changed: it is alive in running threads")
	case n.kernel && n.kind == kindData && bootTables(n.section.Name) != "" && (n.twin == nil || n.changed):
		return p.refuse(name, "section %q changed, which %s: the running kernel is past that", n.section.Name, bootTables(n.section.Name))
	case n.kernel && n.kind == kindData && n.changed && p.isKey(n):
		return p.refuse(name, "the initial value of a static key changed: the code that depends on it was written by the old one when the kernel started")
	case n.kind == kindData && startsProgram(n) && (n.twin == nil || n.changed):
		return p.refuse(name, "the list of functions that run when the program starts (%s) changed: running processes are past that", n.section.Name)
	case n.kind == kindData && n.primary == nil && (n.twin == nil || n.changed):
		return p.refuse(name, "section %q changed: it is not made of functions and data that can be told apart", n.section.Name)
	case n.kind == kindData && n.changed && strings.HasPrefix(name, "_ZTV"):
		return p.refuse(name, "a table of virtual functions changed: objects that use the old one are alive in running processes")
	case n.kind == kindData && n.changed && n.twin.section.Size != n.section.Size:
		return p.refuse(name, "the size of existing data changed from %d to %d bytes: the old object is alive in running processes (--allow-data %[3]s gives new code a copy of its own)", n.twin.section.Size, n.section.Size, baseName(name))
	case n.kind == kindData && n.changed:
		return p.refuse(name, "the initial value of existing data changed: running processes keep the old one (--allow-data %s gives new code a copy of its own)", baseName(name))
	case n.isFunction() && n.primary == nil && (n.twin == nil || n.changed):
		return p.refuse("", "code in section %q changed that belongs to no function (assembly at file level)", n.section.Name)
	case n.isFunction() && (n.twin == nil || n.changed):
		return p.guardFunction(n)
	}
	return nil
}

func (p *pair) guardFunction(n *node) error {
	if n.kernel {
		if err := p.guardKernelFunction(n); err != nil {
			return err
		}
	}
	for _, s := range n.symbols {
		if s.Type == elf.STT_GNU_IFUNC {
			return p.refuse(n.name, "it chooses an implementation when the program is loaded (ifunc): that choice has been made in running processes")
		}
		if s.Type == elf.STT_FUNC && s.Value != n.primary.Value && !n.thunks() {
			return p.refuse(n.name, "it shares section %q with %q", n.section.Name, s.Name)
		}
	}
	return p.guardStart(n)
}

// selected returns the nodes that go into the patch, in file order: changed
// and new functions, and what they need that no process has yet.
func (p *pair) selected() ([]*node, error) {
	chosen := map[*node]bool{}
	var queue []*node
	take := func(n, user *node) {
		if !chosen[n] {
			chosen[n] = true
			n.neededBy = user
			queue = append(queue, n)
		}
	}
	for _, n := range p.patched.nodes {
		if n.isHook() && n.twin == nil {
			take(n, nil)
		}
		if n.isFunction() && n.changed || n.isFunction() && n.twin == nil && n.primary != nil && n.primary.Bind != elf.STB_LOCAL && !n.comdat() {
			take(n, nil)
		}
	}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		for _, other := range []*node{n.child, n.parent} {
			if other != nil {
				take(other, n)
			}
		}
		for _, from := range slices.Concat([]*node{n, n.unwind}, n.special) {
			if from == nil {
				continue
			}
			for _, r := range from.relocs {
				to, inside := p.patched.refersTo(from, r)
				if !inside || to.node.kind == kindPool {
					continue
				}
				if p.ambiguous(to.node) {
					return nil, p.refuse(n.name, "it uses %q, which cannot be told apart from an existing variable of the same name", to.node.name)
				}
				if p.isNew(to.node) {
					take(to.node, n)
				}
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
	return n.kind == kindAnonymous || n.twin == nil && !p.elsewhere(n) || n.isFunction() && n.changed || n.copied
}

// entersFunction reports whether r, in from, is the address of the very start
// of the function to: what programs store and compare. Other references into a
// function are its own labels.
func (p *pair) entersFunction(from *node, typ isa.RelocType, to place) bool {
	if typ.Kind == isa.Relative && !from.isFunction() || from.kind == kindSpecial {
		return false // an entry of a jump table, or one about the function
	}
	offset := to.offset
	if typ.Kind != isa.Absolute {
		offset += int64(typ.Size) // relative to the end of the instruction
	}
	return to.node.primary != nil && offset == int64(to.node.primary.Value)
}
