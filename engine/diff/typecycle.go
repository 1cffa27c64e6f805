package diff

import (
	"debug/dwarf"
	"errors"

	"github.com/openeuler/syscare/engine/object"
)

// errTypeCycle says that a type is made of itself, which no compiler writes and
// whose size or name would never be known.
var errTypeCycle = errors.New("malformed debug information: a type contains itself")

// typeGraph is which types a type is made of, by their offsets.
type typeGraph struct {
	held  map[dwarf.Offset][]dwarf.Offset // in its memory: members, elements
	named map[dwarf.Offset][]dwarf.Offset // in its name: also what is pointed to; structs have names of their own
}

// checkTypes refuses debug information with a type that is made of itself.
func checkTypes(f *object.File) error {
	entries, err := f.Entries()
	if err != nil {
		return err
	}
	g := typeGraph{map[dwarf.Offset][]dwarf.Offset{}, map[dwarf.Offset][]dwarf.Offset{}}
	if err := g.read(entries); err != nil {
		return err
	}
	if cyclic(g.held) || cyclic(g.named) {
		return errTypeCycle
	}
	return nil
}

func (g *typeGraph) read(r *object.Entries) error {
	var parents []*dwarf.Entry
	for {
		entry, err := r.Next()
		if err != nil || entry == nil {
			return err
		}
		if entry.Tag == 0 {
			parents = parents[:max(len(parents)-1, 0)]
			continue
		}
		if to, ok := entry.Val(dwarf.AttrType).(dwarf.Offset); ok {
			var parent *dwarf.Entry
			if len(parents) > 0 {
				parent = parents[len(parents)-1]
			}
			g.add(entry, parent, to)
		}
		if entry.Children {
			parents = append(parents, entry)
		}
	}
}

func (g *typeGraph) add(entry, parent *dwarf.Entry, to dwarf.Offset) {
	put := func(edges map[dwarf.Offset][]dwarf.Offset, from dwarf.Offset) { edges[from] = append(edges[from], to) }
	switch entry.Tag {
	case dwarf.TagMember:
		if parent != nil {
			put(g.held, parent.Offset)
		}
	case dwarf.TagFormalParameter:
		if parent != nil && parent.Tag == dwarf.TagSubroutineType {
			put(g.named, parent.Offset)
		}
	case dwarf.TagPointerType, dwarf.TagReferenceType, dwarf.TagRvalueReferenceType, dwarf.TagSubroutineType:
		put(g.named, entry.Offset)
	case dwarf.TagTypedef, dwarf.TagConstType, dwarf.TagVolatileType, dwarf.TagRestrictType, dwarf.TagArrayType, dwarf.TagAtomicType:
		put(g.held, entry.Offset)
		put(g.named, entry.Offset)
	}
}

// cyclic reports whether a way along the edges leads back to where it began.
func cyclic(edges map[dwarf.Offset][]dwarf.Offset) bool {
	const open, closed = 1, 2
	state := map[dwarf.Offset]int{}
	type step struct {
		at   dwarf.Offset
		next int // of its edges
	}
	for start := range edges {
		if state[start] != 0 {
			continue
		}
		state[start] = open
		for way := []step{{at: start}}; len(way) > 0; {
			last := &way[len(way)-1]
			if last.next == len(edges[last.at]) {
				state[last.at] = closed
				way = way[:len(way)-1]
				continue
			}
			to := edges[last.at][last.next]
			last.next++
			switch state[to] {
			case open:
				return true
			case 0:
				state[to] = open
				way = append(way, step{at: to})
			}
		}
	}
	return false
}
