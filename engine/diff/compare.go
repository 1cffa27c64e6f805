package diff

import (
	"bytes"

	"github.com/openeuler/syscare/engine/object"
)

// compare marks the nodes of the patched object that differ from their twins.
func (p *pair) compare() error {
	for _, n := range p.patched.nodes {
		if n.twin == nil || n.kind == kindPool || n.kind == kindAnonymous {
			continue
		}
		same, err := p.sameContents(n.twin, n)
		if same && err == nil {
			same, err = p.sameUnwinding(n.twin, n)
		}
		if same && err == nil {
			same, err = p.sameSpecial(n.twin, n)
		}
		if err != nil {
			return err
		}
		n.changed = !same
	}
	for _, n := range p.patched.nodes {
		if n.child == nil {
			continue
		}
		// A function and its cold part are one function. One that gained or
		// lost its cold part differs itself, in the jump to it.
		if n.child.changed || n.child.twin == nil {
			n.changed = n.twin != nil
		}
		if n.changed && n.child.twin != nil {
			n.child.changed = true
		}
	}
	return nil
}

// sameContents compares two nodes by meaning: same size, same bytes outside
// relocations, and relocations that land on the same thing.
func (p *pair) sameContents(a, b *node) (bool, error) {
	length := len(b.data)
	if a.primary == nil && a.kind != kindSpecial && a.start != b.start || a.section.Size != b.section.Size {
		var ok bool
		if length, ok = sameTail(a, b); !ok || a.kind != kindAnonymous || a.primary != nil {
			return false, nil
		}
	}
	if a.section.Type != b.section.Type || a.section.Flags != b.section.Flags ||
		len(a.relocs) != len(b.relocs) {
		return false, nil
	}
	at := uint64(0)
	for i, ra := range a.relocs {
		rb := b.relocs[i]
		if ra.Offset != rb.Offset || ra.Type != rb.Type {
			return false, nil
		}
		typ, err := p.patched.arch.Reloc(ra.Type)
		if err != nil {
			// Not loadable, but equal or not all the same: its field is taken
			// to be four bytes wide, as the narrow ones of thread-local
			// sequences are.
			typ.Size = 4
		}
		end := ra.Offset + uint64(typ.Size)
		if ra.Offset < at || end > uint64(length) {
			return false, p.refuse(b.name, "relocation at %#x lies outside its section or overlaps another", ra.Offset)
		}
		if !bytes.Equal(a.data[at:ra.Offset], b.data[at:rb.Offset]) {
			return false, nil
		}
		same, err := p.sameReference(a, ra, b, rb)
		if !same || err != nil {
			return false, err
		}
		at = end
	}
	return bytes.Equal(a.data[at:length], b.data[at:length]), nil
}

// sameUnwinding compares what happens when an exception passes two functions of
// the same code: it is in tables beside the code.
func (p *pair) sameUnwinding(a, b *node) (bool, error) {
	if a.unwind == nil || b.unwind == nil {
		return a.unwind == b.unwind, nil
	}
	if len(a.unwind.relocs) != len(b.unwind.relocs) {
		return false, nil
	}
	for i, ra := range a.unwind.relocs {
		same, err := p.sameReference(a.unwind, ra, b.unwind, b.unwind.relocs[i])
		if !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (p *pair) sameReference(a *node, ra object.Reloc, b *node, rb object.Reloc) (bool, error) {
	pa, insideA := p.original.refersTo(a, ra)
	pb, insideB := p.patched.refersTo(b, rb)
	if insideA != insideB {
		return false, nil
	}
	if !insideA {
		return ra.Symbol.FullName() == rb.Symbol.FullName() && ra.Symbol.Bind == rb.Symbol.Bind && ra.Addend == rb.Addend, nil
	}
	if pa.node.kind != pb.node.kind {
		return false, nil
	}
	switch pb.node.kind {
	case kindPool:
		typ, _ := p.patched.arch.Reloc(rb.Type)
		sa, da, err := pa.node.poolPiece(a, typ, ra)
		if err != nil {
			return false, p.refuse(a.name, "%v", err)
		}
		sb, db, err := pb.node.poolPiece(b, typ, rb)
		if err != nil {
			return false, p.refuse(b.name, "%v", err)
		}
		return da == db && bytes.Equal(sa, sb), nil
	case kindAnonymous:
		if pa.offset != pb.offset {
			return false, nil
		}
		return p.sameAnonymous(pa.node, pb.node)
	default:
		return pb.node.twin == pa.node && pa.offset == pb.offset, nil
	}
}

// sameAnonymous compares tables by contents. A table that refers back to
// itself is assumed to be equal while it is being compared.
func (p *pair) sameAnonymous(a, b *node) (bool, error) {
	k := [2]*node{a, b}
	if same, known := p.equal[k]; known {
		return same, nil
	}
	p.equal[k] = true
	same, err := p.sameContents(a, b)
	p.equal[k] = same
	return same, err
}
