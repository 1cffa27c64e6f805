package diff

import (
	"debug/elf"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/openeuler/syscare/engine/object"
)

// shipped makes sure that the kernel which was shipped has the code of the recorded object,
// which was compiled as for it, function by function; and that the object to compare has
// the same functions, which refer to the same.
func (p *pair) shipped() error {
	var differ []string
	for _, f := range p.recorded.functions() {
		same, err := p.shippedFunction(f)
		if err != nil {
			return err
		}
		if !same {
			differ = append(differ, f.symbol.Name)
		}
	}
	if len(differ) > 0 {
		return p.refuse("", "%d functions compile to other code than was shipped (%s): the compiler, the configuration or the sources are not those of %s",
			len(differ), firstFew(differ), p.target.objectName())
	}
	return p.sameFunctions()
}

func firstFew(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// codePiece is a function in its section.
type codePiece struct {
	node   *node
	symbol *object.Symbol
	relocs []object.Reloc
}

// functions lists the functions of an object with their relocations.
func (u *unit) functions() (list []codePiece) {
	for _, n := range u.nodes {
		if !n.isFunction() {
			continue
		}
		for _, s := range n.symbols {
			if s.Type != elf.STT_FUNC || s.Size == 0 || n.at(s) == nil {
				continue
			}
			f := codePiece{node: n, symbol: s}
			first, _ := slices.BinarySearchFunc(n.relocs, s.Value, func(r object.Reloc, at uint64) int { return int(int64(r.Offset) - int64(at)) })
			for _, r := range n.relocs[first:] {
				if r.Offset >= s.Value+s.Size {
					break
				}
				f.relocs = append(f.relocs, r)
			}
			list = append(list, f)
		}
	}
	return list
}

// shippedFunction compares the code outside relocations, and where global symbols are
// referred to, their addresses.
func (p *pair) shippedFunction(f codePiece) (bool, error) {
	if f.symbol.Bind == elf.STB_WEAK || strings.HasPrefix(f.node.section.Name, ".exit") {
		return true, nil // another one took its place, or it was dropped
	}
	in, err := p.inTarget(f.symbol)
	if err != nil {
		return false, err
	}
	if in == nil || in.Size != f.symbol.Size {
		return false, nil
	}
	theirs, err := p.target.bytesAt(in)
	if err != nil {
		return false, p.refuse(f.symbol.Name, "%v", err)
	}
	if theirs == nil { // debug information alone
		p.bySize = true
		return true, nil
	}
	ours := p.recorded.withNops(f)
	at := 0
	for _, r := range f.relocs {
		typ, err := p.recorded.arch.Reloc(r.Type)
		if err != nil {
			return false, p.refuse(f.symbol.Name, "%v", err)
		}
		offset := int(r.Offset - f.symbol.Value)
		if offset < at || offset+typ.Size > len(ours) {
			return false, p.refuse(f.symbol.Name, "relocation at %#x lies outside its function or overlaps another", r.Offset)
		}
		if !slices.Equal(ours[at:offset], theirs[at:offset]) {
			return false, nil
		}
		if p.target.module == "" && !p.sameAddress(r, theirs[offset:offset+typ.Size], in.Value+uint64(offset)) {
			return false, nil
		}
		at = offset + typ.Size
	}
	return slices.Equal(ours[at:], theirs[at:]), nil
}

// withNops is the code of a function as objtool leaves it in the kernel: it makes nops of the
// jumps that entries of the jump table mark, see arch/x86/include/asm/jump_label.h. Where it
// runs over each object that is done.
func (u *unit) withNops(f codePiece) []byte {
	const marked = 2
	code := slices.Clone(f.node.at(f.symbol))
	for _, e := range f.node.special {
		key, ok := keyOf(e)
		if !ok || e.name != jumpTable || key.Addend&marked == 0 {
			continue
		}
		to, _ := u.refersTo(e, e.relocs[0])
		at := to.offset + int64(f.node.start) - int64(f.symbol.Value)
		if at < 0 || at >= int64(len(code)) {
			continue
		}
		switch rest := code[at:]; {
		case rest[0] == 0xeb && len(rest) >= 2: // jmp rel8
			copy(rest, []byte{0x66, 0x90})
		case rest[0] == 0xe9 && len(rest) >= 5: // jmp rel32
			copy(rest, []byte{0x0f, 0x1f, 0x44, 0, 0})
		}
	}
	return code
}

// sameAddress reports whether the field that was linked at an address leads to the symbol
// of the relocation, if it is a global one of which there is one.
func (p *pair) sameAddress(r object.Reloc, field []byte, at uint64) bool {
	if r.Symbol.Section != nil || len(field) != 4 {
		return true
	}
	s := p.target.globals[r.Symbol.Name]
	if s == nil || s.Section == nil {
		return true
	}
	value := binary.LittleEndian.Uint32(field)
	want := s.Value + uint64(r.Addend)
	switch elf.R_X86_64(r.Type) {
	case elf.R_X86_64_PC32, elf.R_X86_64_PLT32:
		want -= at
	case elf.R_X86_64_32, elf.R_X86_64_32S:
	default:
		return true
	}
	return value == uint32(want)
}

// inTarget finds a function of the recorded object; nil if the target has none.
func (p *pair) inTarget(s *object.Symbol) (*object.Symbol, error) {
	if s.Bind != elf.STB_LOCAL {
		return p.target.global(s), nil
	}
	if p.group == 0 {
		group, err := p.target.fileGroup(p)
		if err != nil {
			return nil, err
		}
		p.group = group
	}
	for _, c := range p.target.locals[p.group][s.Name] {
		if c.Type == s.Type && c.Size == s.Size {
			return c, nil
		}
	}
	return nil, nil
}

// sameFunctions makes sure that putting each function into a section of its own changed
// nothing but where it is: the same functions refer to the same outside symbols.
func (p *pair) sameFunctions() error {
	left, right := p.recorded.outsideReferences(), p.original.outsideReferences()
	for name := range right {
		if _, known := left[name]; !known {
			return p.refuse(name, "it is there only when functions are compiled into sections of their own: the two objects cannot be compared")
		}
	}
	for name, references := range left {
		if other, known := right[name]; !known || !slices.Equal(references, other) {
			return p.refuse(name, "it is not the same when functions are compiled into sections of their own: the two objects cannot be compared")
		}
	}
	return nil
}

// outsideReferences lists, for each function with its cold part, the undefined symbols that
// it refers to. Where it returns, and by which register it jumps, does not matter: a call at
// the end may have been a jump.
func (u *unit) outsideReferences() map[string][]string {
	list := map[string][]string{}
	for _, f := range u.functions() {
		name, _, _ := strings.Cut(f.symbol.Name, ".cold")
		if list[name] == nil {
			list[name] = []string{}
		}
		for _, r := range f.relocs {
			if r.Symbol.Section == nil && !strings.HasPrefix(r.Symbol.Name, "__x86_indirect_") && r.Symbol.Name != "__x86_return_thunk" {
				list[name] = append(list[name], r.Symbol.Name)
			}
		}
	}
	for name, names := range list {
		slices.Sort(names)
		list[name] = slices.Compact(names) // how often is up to the compiler
	}
	return list
}
