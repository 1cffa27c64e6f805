package user

import (
	"bytes"
	"slices"
)

// Several active patches may replace one function. They are stacked in the
// order of their activation, which is in their headers: the jump at the
// function's entry leads to the newest, whatever is activated, deactivated or
// removed below. What a function held before any patch is in the header of each
// that replaces it.

// layers are the regions of a process, those whose patch is active last, in the
// order of activation.
type layers []*header

func layersOf(all []*header) layers {
	stacked := slices.Clone(all)
	slices.SortStableFunc(stacked, func(a, b *header) int {
		switch {
		case (a.state == Active) != (b.state == Active):
			if b.state == Active {
				return -1
			}
			return 1
		case a.order != b.order && a.order < b.order:
			return -1
		case a.order != b.order:
			return 1
		}
		return 0
	})
	return stacked
}

// nextOrder is the order of a patch that is activated now.
func (l layers) nextOrder() uint64 {
	newest := uint64(0)
	for _, h := range l {
		newest = max(newest, h.order)
	}
	return newest + 1
}

// at returns what h puts in the place of f's jump.
func (h *header) at(f function) *function {
	for i := range h.functions {
		g := &h.functions[i]
		if g.redirects() && g.jumpAt() == f.jumpAt() && len(g.jump) == len(f.jump) {
			return g
		}
	}
	return nil
}

// entry is what belongs at the entry of f: the jump of the newest active patch
// that replaces it and is not among those left out, or what was there before
// any.
func (l layers) entry(f function, without ...*header) []byte {
	for _, h := range slices.Backward(l) {
		if h.state != Active || slices.Contains(without, h) {
			continue
		}
		if g := h.at(f); g != nil {
			return g.jump
		}
	}
	return f.saved
}

// explains reports whether bytes at the entry of f are what some patch, or none,
// puts there, or a torn write of one over another.
func (l layers) explains(f function, now []byte) bool {
	known := [][]byte{f.saved, f.jump}
	for _, h := range l {
		if g := h.at(f); g != nil {
			known = append(known, g.jump)
		}
	}
	for i, b := range now {
		if !slices.ContainsFunc(known, func(k []byte) bool { return k[i] == b }) {
			return false
		}
	}
	return true
}

// unpatched takes the jumps of patches out of code read at an address. It
// returns the regions whose jumps it met.
func (l layers) unpatched(code []byte, address uint64) (met []*header) {
	for _, h := range l {
		for _, f := range h.functions {
			if !f.redirects() || f.jumpAt() < address || f.jumpAt()-address > uint64(len(code)) {
				continue
			}
			// The end of a jump may lie in the padding behind the function.
			there := code[f.jumpAt()-address:]
			n := min(len(f.jump), len(there))
			if n > 0 && bytes.Equal(there[:n], f.jump[:n]) {
				copy(there, f.saved)
				met = append(met, h)
			}
		}
	}
	return met
}

// straddles returns a region with a jump that is in the way of f's own, neither
// beside it nor in its place.
func (l layers) straddles(f function, without *header) *header {
	own := span{f.jumpAt(), uint64(len(f.jump))}
	for _, h := range l {
		if h == without || h.state != Active {
			continue
		}
		for _, g := range h.functions {
			if g.redirects() && g.jumpAt() < own.end() && own.at < g.jumpAt()+uint64(len(g.jump)) && h.at(f) == nil {
				return h
			}
		}
	}
	return nil
}
