package diff

import (
	"bytes"
	"debug/elf"
)

// Inline functions, templates and what belongs to them come in COMDAT groups:
// each unit that uses one has it, and the linker keeps the first. A fix in a
// header changes it in all of them.

func (n *node) comdat() bool { return n.section.Flags&elf.SHF_GROUP != 0 }

// shareable reports whether several units may define n: the linker keeps one.
func (n *node) shareable() bool {
	return n.primary != nil && (n.comdat() && n.primary.Bind != elf.STB_LOCAL || n.primary.Bind == elf.STB_WEAK)
}

// share reports whether n is the same as one that an earlier unit puts into the
// patch, and makes n stand for that one.
func (e *emitter) share(u *emittedUnit, n *node) (bool, error) {
	if !n.shareable() {
		return false, nil
	}
	first, known := e.defined[n.primary.FullName()]
	if !known || !first.node.shareable() {
		return false, nil
	}
	if !bytes.Equal(n.data, first.node.data) || len(n.relocs) != len(first.node.relocs) {
		return false, u.refuse(n.primary.Name, "its new code is not the same in %s: they are compiled with other flags, and which of the two the linker keeps is not known", first.unit.source)
	}
	u.sections[n], u.shared[n], n.newName = first.unit.sections[first.node], true, first.node.newName
	return true, nil
}

// elsewhere reports whether n, a COMDAT that is new in its unit, is in the
// target already: from another unit, which it shares its state with.
func (p *pair) elsewhere(n *node) bool {
	return n.comdat() && n.primary != nil && n.primary.Bind != elf.STB_LOCAL && p.target.global(n.primary) != nil
}

// existing is the node by which a node that is not new is found in the target.
func (n *node) existing() *node {
	if n.twin != nil {
		return n.twin
	}
	return n
}
