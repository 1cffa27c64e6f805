package diff

import (
	"debug/elf"
	"slices"
	"sort"

	"github.com/openeuler/syscare/engine/isa"
	"github.com/openeuler/syscare/engine/object"
)

// Sections of read-only data without symbols (all string literals at -O0, large
// constants, jump tables) are cut into pieces where references point, so that a
// new constant does not make everything behind it look changed.

// splitUnnamed replaces each anonymous section by one node per piece. Where a
// reference cannot be located exactly, its section stays in one piece.
func (u *unit) splitUnnamed() {
	starts := map[*node][]uint64{}
	whole := map[*node]bool{}
	collect := func(n *node) {
		for _, r := range n.relocs {
			to := u.bySection[r.Symbol.Section]
			if r.Symbol.Section == nil || to == nil || to.kind != kindAnonymous || to.primary != nil {
				continue
			}
			offset, ok := u.exactOffset(n, r)
			if ok && n.kind == kindSpecial && offset == to.section.Size {
				continue // the empty replacement of an instruction
			}
			if !ok || offset >= to.section.Size {
				whole[to] = true
				continue
			}
			starts[to] = append(starts[to], offset)
		}
	}
	for _, n := range slices.Concat(u.nodes, u.special) {
		collect(n)
		if n.unwind != nil {
			collect(n.unwind)
		}
	}
	var nodes []*node
	for _, n := range u.nodes {
		if whole[n] || len(starts[n]) == 0 {
			nodes = append(nodes, n)
			continue
		}
		cuts := append(starts[n], 0)
		slices.Sort(cuts)
		cuts = slices.Compact(cuts)
		u.pieces[n.section] = n.cut(cuts)
		nodes = append(nodes, u.pieces[n.section]...)
	}
	u.nodes = nodes
}

// cut makes a node of each range between two cuts.
func (n *node) cut(cuts []uint64) []*node {
	var pieces []*node
	relocs := n.relocs // by offset
	for i, start := range cuts {
		end := n.section.Size
		if i+1 < len(cuts) {
			end = cuts[i+1]
		}
		section := *n.section
		section.Size = end - start
		piece := &node{section: &section, kind: kindAnonymous, name: n.name, start: start}
		if n.data != nil {
			piece.data = n.data[start:end]
		}
		for ; len(relocs) > 0 && relocs[0].Offset < end; relocs = relocs[1:] {
			r := relocs[0]
			r.Offset -= start
			piece.relocs = append(piece.relocs, r)
		}
		pieces = append(pieces, piece)
	}
	return pieces
}

// exactOffset is where in its section r points. References relative to the
// program counter count from the end of their instruction.
func (u *unit) exactOffset(from *node, r object.Reloc) (uint64, bool) {
	offset := r.Symbol.Value + uint64(r.Addend)
	typ, err := u.arch.Reloc(r.Type)
	if err != nil || typ.Kind != isa.Relative {
		return offset, err == nil
	}
	if from.section.Name == ehFrame || from.kind == kindSpecial {
		return offset, true // to its own place
	}
	if !from.isCode() {
		return 0, false
	}
	end, ok := u.instructionEnd(from, r.Offset)
	return offset + end - r.Offset, ok
}

// instructionEnd is where the instruction with the byte at offset ends.
func (u *unit) instructionEnd(n *node, offset uint64) (uint64, bool) {
	ends, known := u.ends[n]
	if !known {
		for at := uint64(0); at < uint64(len(n.data)); {
			length, err := u.arch.InstructionLength(n.data[at:])
			if err != nil {
				break
			}
			at += uint64(length)
			ends = append(ends, at)
		}
		u.ends[n] = ends
	}
	i := sort.Search(len(ends), func(i int) bool { return ends[i] > offset })
	if i == len(ends) {
		return 0, false
	}
	return ends[i], true
}

// nodeAt is the node at an exact offset of a section.
func (u *unit) nodeAt(from *node, r object.Reloc) *node {
	pieces := u.pieces[r.Symbol.Section]
	if pieces == nil {
		return u.bySection[r.Symbol.Section]
	}
	offset, _ := u.exactOffset(from, r) // exact, or there were no pieces
	i := sort.Search(len(pieces), func(i int) bool { return pieces[i].start > offset })
	return pieces[i-1]
}

// sameTail reports whether two pieces differ in length by padding only, and
// returns the length that they share.
func sameTail(a, b *node) (int, bool) {
	short, long := a, b
	if len(short.data) > len(long.data) {
		short, long = long, short
	}
	n := len(short.data)
	if short.section.Type == elf.SHT_NOBITS || !isZero(long.data[n:]) {
		return 0, len(short.data) == len(long.data)
	}
	for _, r := range long.relocs {
		if r.Offset >= uint64(n) {
			return 0, false
		}
	}
	return n, true
}
