package diff

import (
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"math"
	"sort"
	"strings"

	"github.com/openeuler/syscare/engine/object"
)

// correlateStatics pairs static locals by the function that the source has
// them in, which the debug information tells also where that function is
// inlined. By the code that uses them alone, a new variable could take the
// place of an existing one of its name, and the state of the two be swapped.
//
// Those of one name in one function are paired in their order, if the fix
// leaves their number; otherwise they stay unpaired, see ambiguous.
func (p *pair) correlateStatics() {
	left, right := p.staticsByOwner(p.original), p.staticsByOwner(p.patched)
	for owner, before := range left {
		after := right[owner]
		if len(before) != len(after) {
			continue
		}
		for i := range before {
			before[i].twin, after[i].twin = after[i], before[i]
		}
	}
}

// staticsByOwner lists the static locals whose function is known, in the order
// of the source, and notes the function in them.
func (p *pair) staticsByOwner(u *unit) map[string][]*node {
	found := map[string][]*node{}
	for _, n := range u.nodes {
		if n.primary == nil || !p.isStaticLocal(n) {
			continue
		}
		owners, err := u.staticOwners()
		if err != nil {
			return nil // the guard of layouts refuses such a unit if anything changed
		}
		for _, o := range owners {
			if o.node.primary != nil && p.isStaticLocal(o.node) && o.node.owner == "" {
				o.node.owner = fmt.Sprintf("%d %s/%s", o.node.kind, o.function, baseName(o.node.name))
				found[o.node.owner] = append(found[o.node.owner], o.node)
			}
		}
		return found
	}
	return nil
}

type staticOwner struct {
	node     *node
	function string // with the namespaces, classes and functions around it
}

// staticOwners reads from the debug information which functions have variables
// with an address. In an object that address is a relocation, found by its
// place inside the entry of the variable.
func (u *unit) staticOwners() (owners []staticOwner, err error) {
	defer malformed(&err)
	data, err := u.file.DWARF()
	if err != nil {
		return nil, err
	}
	relocs, err := u.debugInfoRelocs()
	if err != nil {
		return nil, err
	}
	var around []string
	var variable *dwarf.Entry
	var function string // of variable
	end := func(offset uint64) {
		if variable == nil {
			return
		}
		if n := u.dataAt(relocs, uint64(variable.Offset), offset); n != nil {
			owners = append(owners, staticOwner{n, function})
		}
		variable = nil
	}
	entries, err := u.file.Entries()
	if err != nil {
		return nil, err
	}
	for {
		entry, err := entries.Next()
		switch {
		case err != nil:
			return nil, err
		case entry == nil:
			end(math.MaxUint64)
			return owners, nil
		case entry.Tag == 0: // the end of a scope, without an offset
			around = around[:max(len(around)-1, 0)]
			continue
		}
		end(uint64(entry.Offset))
		if _, placed := entry.Val(dwarf.AttrLocation).([]byte); placed && entry.Tag == dwarf.TagVariable {
			variable, function = entry, strings.Join(around, "::")
		}
		if entry.Children {
			around = append(around, scopeName(data, entry))
		}
	}
}

// scopeName is the name of what an entry encloses; blocks have none, and an
// inlined function that of itself.
func scopeName(data *dwarf.Data, entry *dwarf.Entry) string {
	for range 3 { // from a place to a definition to a declaration
		if name, ok := entry.Val(dwarf.AttrLinkageName).(string); ok {
			return name
		}
		if name, ok := entry.Val(dwarf.AttrName).(string); ok && entry.Tag != dwarf.TagCompileUnit {
			return name
		}
		origin, ok := entry.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			origin, ok = entry.Val(dwarf.AttrSpecification).(dwarf.Offset)
		}
		if !ok {
			return ""
		}
		r := data.Reader()
		r.Seek(origin)
		next, err := r.Next()
		if err != nil || next == nil {
			return ""
		}
		entry = next
	}
	return ""
}

// debugInfoRelocs returns the relocations of .debug_info, by offset.
func (u *unit) debugInfoRelocs() ([]object.Reloc, error) {
	var relocs []object.Reloc
	for _, s := range u.file.Sections {
		if s.Type != elf.SHT_RELA || int(s.Info) >= len(u.file.Sections) || u.file.Sections[s.Info].Name != ".debug_info" {
			continue
		}
		if relocs != nil {
			return nil, fmt.Errorf("several sections named .debug_info: not supported")
		}
		var err error
		if relocs, err = u.file.ReadRela(s); err != nil {
			return nil, err
		}
	}
	sort.SliceStable(relocs, func(i, j int) bool { return relocs[i].Offset < relocs[j].Offset })
	return relocs, nil
}

// dataAt is the variable whose address lies in that range of .debug_info.
func (u *unit) dataAt(relocs []object.Reloc, start, end uint64) *node {
	for i := sort.Search(len(relocs), func(i int) bool { return relocs[i].Offset >= start }); i < len(relocs) && relocs[i].Offset < end; i++ {
		if s := relocs[i].Symbol.Section; s != nil {
			if n := u.bySection[s]; n != nil && !n.isFunction() {
				return u.nodeAt(n, relocs[i])
			}
		}
	}
	return nil
}
