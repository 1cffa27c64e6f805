package object

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// Builder collects sections, symbols and relocations and writes them as one
// relocatable ELF file. The output depends on nothing but what was added.
type Builder struct {
	machine  elf.Machine
	sections []*BuildSection
	symbols  []*BuildSymbol
}

// BuildSection is a section to be written.
type BuildSection struct {
	Name    string
	Type    elf.SectionType
	Flags   elf.SectionFlag
	Align   uint64
	EntSize uint64
	Data    []byte
	Size    uint64 // for SHT_NOBITS; otherwise len(Data) counts
	Relocs  []BuildReloc

	index int
	more  []*relocTable
}

// relocTable is a further section of relocations of one section.
type relocTable struct {
	name   string
	flags  elf.SectionFlag
	relocs []BuildReloc
}

// AddRelocs adds relocations in a section of that name, beside the usual one.
func (s *BuildSection) AddRelocs(name string, flags elf.SectionFlag, relocs ...BuildReloc) {
	for _, t := range s.more {
		if t.name == name {
			t.relocs = append(t.relocs, relocs...)
			return
		}
	}
	s.more = append(s.more, &relocTable{name, flags, relocs})
}

// BuildSymbol is a symbol to be written; a nil Section means undefined, unless Index is one
// of those without a section (SHN_ABS and the like).
type BuildSymbol struct {
	Name    string
	Section *BuildSection
	Value   uint64
	Size    uint64
	Bind    elf.SymBind
	Type    elf.SymType
	Index   elf.SectionIndex

	index int
}

// BuildReloc is a relocation of a section to be written.
type BuildReloc struct {
	Offset uint64
	Type   uint32
	Symbol *BuildSymbol
	Addend int64
}

// maxAlign is the largest alignment of a section, bytes: that of a large page.
const maxAlign = 2 << 20

// NewBuilder starts an empty relocatable file for machine.
func NewBuilder(machine elf.Machine) *Builder { return &Builder{machine: machine} }

// AddSection appends s and returns it.
func (b *Builder) AddSection(s *BuildSection) *BuildSection {
	b.sections = append(b.sections, s)
	return s
}

// AddSymbol appends s and returns it.
func (b *Builder) AddSymbol(s *BuildSymbol) *BuildSymbol {
	b.symbols = append(b.symbols, s)
	return s
}

// stringTable interns names as ELF string tables hold them.
type stringTable struct {
	data    []byte
	offsets map[string]uint32
}

func newStringTable() *stringTable {
	return &stringTable{data: []byte{0}, offsets: map[string]uint32{"": 0}}
}

func (t *stringTable) add(s string) uint32 {
	if offset, ok := t.offsets[s]; ok {
		return offset
	}
	offset := uint32(len(t.data))
	t.offsets[s] = offset
	t.data = append(append(t.data, s...), 0)
	return offset
}

// Bytes lays the file out and returns it.
func (b *Builder) Bytes() ([]byte, error) {
	all := []*BuildSection{{}} // the null section
	for _, s := range b.sections {
		if s.Align > maxAlign || s.Align&(s.Align-1) != 0 {
			return nil, fmt.Errorf("section %q: an alignment of %d bytes is not supported", s.Name, s.Align)
		}
		s.index = len(all)
		all = append(all, s)
	}
	symtab, strtab, locals := b.symbolTable()
	symtabIndex := len(all)
	links := map[*BuildSection][2]uint32{}
	symtabSection := &BuildSection{Name: ".symtab", Type: elf.SHT_SYMTAB, Align: 8, EntSize: elf.Sym64Size, Data: symtab}
	links[symtabSection] = [2]uint32{uint32(symtabIndex + 1), uint32(locals)}
	all = append(all, symtabSection, &BuildSection{Name: ".strtab", Type: elf.SHT_STRTAB, Align: 1, Data: strtab})
	for _, s := range b.sections {
		for _, t := range append([]*relocTable{{name: ".rela" + s.Name, relocs: s.Relocs}}, s.more...) {
			if len(t.relocs) == 0 {
				continue
			}
			rela := &BuildSection{Name: t.name, Type: elf.SHT_RELA, Flags: elf.SHF_INFO_LINK | t.flags, Align: 8, EntSize: 24}
			for _, r := range t.relocs {
				if r.Symbol == nil || r.Symbol.index == 0 {
					return nil, fmt.Errorf("section %q: relocation at %#x has no symbol", s.Name, r.Offset)
				}
				rela.Data = binary.LittleEndian.AppendUint64(rela.Data, r.Offset)
				rela.Data = binary.LittleEndian.AppendUint64(rela.Data, uint64(r.Symbol.index)<<32|uint64(r.Type))
				rela.Data = binary.LittleEndian.AppendUint64(rela.Data, uint64(r.Addend))
			}
			links[rela] = [2]uint32{uint32(symtabIndex), uint32(s.index)}
			all = append(all, rela)
		}
	}
	names := newStringTable()
	shstrtab := &BuildSection{Name: ".shstrtab", Type: elf.SHT_STRTAB, Align: 1}
	all = append(all, shstrtab)
	if len(all) >= int(elf.SHN_LORESERVE) {
		return nil, fmt.Errorf("%d sections are more than ELF numbers plainly", len(all))
	}
	for _, s := range all {
		names.add(s.Name)
	}
	shstrtab.Data = names.data
	return b.layOut(all, links, names), nil
}

// symbolTable encodes the symbols, locals first, and returns the table, its
// names and the number of local entries with the null symbol.
func (b *Builder) symbolTable() (table, names []byte, locals int) {
	strtab := newStringTable()
	table = make([]byte, elf.Sym64Size)
	count := 1
	for _, wantLocal := range []bool{true, false} {
		for _, s := range b.symbols {
			if (s.Bind == elf.STB_LOCAL) != wantLocal {
				continue
			}
			s.index = count
			count++
			shndx := uint16(elf.SHN_UNDEF)
			if s.Section != nil {
				shndx = uint16(s.Section.index)
			} else if s.Index >= elf.SHN_LORESERVE {
				shndx = uint16(s.Index)
			}
			if s.Type == elf.STT_FILE {
				shndx = uint16(elf.SHN_ABS)
			}
			table = binary.LittleEndian.AppendUint32(table, strtab.add(s.Name))
			table = append(table, elf.ST_INFO(s.Bind, s.Type), byte(elf.STV_DEFAULT))
			table = binary.LittleEndian.AppendUint16(table, shndx)
			table = binary.LittleEndian.AppendUint64(table, s.Value)
			table = binary.LittleEndian.AppendUint64(table, s.Size)
		}
		if wantLocal {
			locals = count
		}
	}
	return table, strtab.data, locals
}

func (b *Builder) layOut(all []*BuildSection, links map[*BuildSection][2]uint32, names *stringTable) []byte {
	const headerSize = 64
	out := bytes.NewBuffer(make([]byte, headerSize))
	headers := make([]elf.Section64, len(all))
	for i, s := range all {
		if i == 0 {
			continue
		}
		align := max(s.Align, 1)
		for uint64(out.Len())%align != 0 {
			out.WriteByte(0)
		}
		size := uint64(len(s.Data))
		if s.Type == elf.SHT_NOBITS {
			size = s.Size
		}
		headers[i] = elf.Section64{
			Name: names.add(s.Name), Type: uint32(s.Type), Flags: uint64(s.Flags), Off: uint64(out.Len()),
			Size: size, Link: links[s][0], Info: links[s][1], Addralign: align, Entsize: s.EntSize,
		}
		out.Write(s.Data)
	}
	for out.Len()%8 != 0 {
		out.WriteByte(0)
	}
	header := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_REL), Machine: uint16(b.machine), Version: uint32(elf.EV_CURRENT),
		Shoff: uint64(out.Len()), Ehsize: headerSize, Shentsize: 64,
		Shnum: uint16(len(all)), Shstrndx: uint16(len(all) - 1),
	}
	// Writes to a bytes.Buffer of fixed-size values cannot fail.
	_ = binary.Write(out, binary.LittleEndian, headers)
	var head bytes.Buffer
	_ = binary.Write(&head, binary.LittleEndian, header)
	file := out.Bytes()
	copy(file, head.Bytes())
	return file
}
