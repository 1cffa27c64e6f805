package object

import (
	"bytes"
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// Limits on what is read from one file. The largest real inputs (a kernel's
// or a browser's debuginfo) stay below them.
const (
	maxSectionBytes = 2 << 30
	maxSymbols      = 16 << 20
	maxRelocs       = 16 << 20
)

// ErrNotELF says that a file is not a 64-bit little-endian ELF file.
var ErrNotELF = errors.New("not a 64-bit little-endian ELF file")

// File is what an ELF file says. Section and symbol indices are ELF's own:
// index 0 is the null entry.
type File struct {
	Type     elf.Type
	Machine  elf.Machine
	Entry    Address
	Segments []elf.ProgHeader
	Sections []*Section
	Symbols  []*Symbol // of .symtab
	Dynamic  []*Symbol // of .dynsym
	BuildID  BuildID   // "" if there is no such note

	raw    *elf.File
	closer io.Closer
	path   string // "" if it was not opened by name
	debug  struct {
		once sync.Once
		data *dwarf.Data
		info []byte // the section .debug_info
		size int    // of what has entries, bytes
		err  error
	}
	alternate alternate
}

// Section is one section header with access to its contents.
type Section struct {
	Index   int
	Name    string
	Type    elf.SectionType
	Flags   elf.SectionFlag
	Address Address
	Size    uint64 // bytes; in memory for SHT_NOBITS
	Link    uint32
	Info    uint32
	Align   uint64
	EntSize uint64

	raw *elf.Section
}

// Symbol is one entry of a symbol table.
type Symbol struct {
	Index      int
	Name       string // without version
	Version    string // of .symtab names like "stderr@GLIBC_2.2.5", and of .dynsym
	Value      uint64 // offset in Section for ET_REL, else a link-time address
	Size       uint64
	Bind       elf.SymBind
	Type       elf.SymType
	Visibility elf.SymVis
	Shndx      elf.SectionIndex
	Section    *Section // nil for SHN_UNDEF, SHN_ABS, SHN_COMMON
	File       string   // name of the STT_FILE before a local symbol
	FileIndex  int      // index of that STT_FILE symbol; 0 if none

	spelling string
}

// Defined reports whether the file itself holds what the symbol names.
func (s *Symbol) Defined() bool { return s.Shndx != elf.SHN_UNDEF }

// Reloc is one RELA relocation.
type Reloc struct {
	Offset uint64 // in the section relocated (ET_REL) or a link-time address
	Type   uint32 // of the file's machine
	Symbol *Symbol
	Addend int64
}

// Open reads the ELF file at path. Close it when done.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	parsed, err := Read(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	parsed.closer, parsed.path = f, path
	return parsed, nil
}

// Close releases the file that Open opened.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// guard turns a panic of the standard library's parser into an error.
func guard(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("malformed ELF file: %v", r)
	}
}

// Read parses headers and symbol tables from r; section contents are read on
// demand, so r must stay readable.
func Read(r io.ReaderAt) (f *File, err error) {
	defer guard(&err)
	raw, err := elf.NewFile(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotELF, err)
	}
	if raw.Class != elf.ELFCLASS64 || raw.Data != elf.ELFDATA2LSB {
		return nil, ErrNotELF
	}
	f = &File{Type: raw.Type, Machine: raw.Machine, Entry: Address(raw.Entry), raw: raw}
	for _, p := range raw.Progs {
		f.Segments = append(f.Segments, p.ProgHeader)
	}
	for i, s := range raw.Sections {
		f.Sections = append(f.Sections, &Section{
			Index: i, Name: s.Name, Type: s.Type, Flags: s.Flags, Address: Address(s.Addr),
			Size: s.Size, Link: s.Link, Info: s.Info, Align: s.Addralign, EntSize: s.Entsize, raw: s,
		})
	}
	if f.Symbols, err = f.readSymbols(elf.SHT_SYMTAB); err != nil {
		return nil, err
	}
	if f.Dynamic, err = f.readSymbols(elf.SHT_DYNSYM); err != nil {
		return nil, err
	}
	f.addDynamicVersions()
	f.BuildID, err = f.readBuildID()
	return f, err
}

// Section returns the first section of that name, nil if there is none.
func (f *File) Section(name string) *Section {
	for _, s := range f.Sections {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Bytes returns the contents of s, decompressed; nil for SHT_NOBITS.
func (s *Section) Bytes() (data []byte, err error) {
	defer guard(&err)
	if s.Type == elf.SHT_NOBITS || s.Type == elf.SHT_NULL {
		return nil, nil
	}
	if s.Size > maxSectionBytes {
		return nil, fmt.Errorf("section %q: %d bytes are more than the limit of %d", s.Name, s.Size, uint64(maxSectionBytes))
	}
	if s.Flags&elf.SHF_COMPRESSED != 0 || strings.HasPrefix(s.Name, ".zdebug_") {
		data, err = s.raw.Data()
	} else {
		data, err = s.plain()
	}
	if err != nil {
		return nil, fmt.Errorf("section %q: %w", s.Name, err)
	}
	return data, nil
}

// plain reads the contents of a section that is not compressed. There is one buffer of
// its size, once it is known that the file has as much.
func (s *Section) plain() ([]byte, error) {
	if s.Size == 0 {
		return []byte{}, nil
	}
	if _, err := s.raw.ReadAt(make([]byte, 1), int64(s.Size-1)); errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	} else if err != nil {
		return nil, err
	}
	data := make([]byte, s.Size)
	_, err := s.raw.ReadAt(data, 0)
	return data, err
}

// symbolTable finds the section of that type; ELF allows one each.
func (f *File) symbolTable(typ elf.SectionType) *Section {
	for _, s := range f.Sections {
		if s.Type == typ {
			return s
		}
	}
	return nil
}

func (f *File) readSymbols(typ elf.SectionType) ([]*Symbol, error) {
	table := f.symbolTable(typ)
	if table == nil {
		return nil, nil
	}
	if table.raw.Flags&elf.SHF_COMPRESSED != 0 {
		return nil, fmt.Errorf("section %q: compressed symbol tables are not valid ELF", table.Name)
	}
	data, err := table.Bytes()
	if err != nil {
		return nil, err
	}
	if len(data)%elf.Sym64Size != 0 || len(data)/elf.Sym64Size > maxSymbols {
		return nil, fmt.Errorf("section %q: %d bytes are no table of symbols", table.Name, len(data))
	}
	if int(table.Link) >= len(f.Sections) {
		return nil, fmt.Errorf("section %q: its string table %d does not exist", table.Name, table.Link)
	}
	names, err := f.Sections[table.Link].Bytes()
	if err != nil {
		return nil, err
	}
	extended, err := f.extendedIndices(table)
	if err != nil {
		return nil, err
	}
	symbols := make([]*Symbol, 0, len(data)/elf.Sym64Size)
	backing := make([]Symbol, len(data)/elf.Sym64Size)
	var file *Symbol
	for i := range backing {
		e := data[i*elf.Sym64Size:]
		s := &backing[i]
		name, err := cString(names, binary.LittleEndian.Uint32(e))
		if err != nil {
			return nil, fmt.Errorf("section %q: symbol %d: %w", table.Name, i, err)
		}
		*s = Symbol{
			Index: i, Name: name, spelling: name, Bind: elf.ST_BIND(e[4]), Type: elf.ST_TYPE(e[4]), Visibility: elf.ST_VISIBILITY(e[5]),
			Shndx: elf.SectionIndex(binary.LittleEndian.Uint16(e[6:])),
			Value: binary.LittleEndian.Uint64(e[8:]), Size: binary.LittleEndian.Uint64(e[16:]),
		}
		index := int(s.Shndx)
		if s.Shndx == elf.SHN_XINDEX {
			if i >= len(extended) {
				return nil, fmt.Errorf("section %q: symbol %q has no extended section index", table.Name, name)
			}
			index = int(extended[i])
		} else if s.Shndx >= elf.SHN_LORESERVE {
			index = 0
		}
		if index != 0 {
			if index >= len(f.Sections) {
				return nil, fmt.Errorf("section %q: symbol %q is in section %d, which does not exist", table.Name, name, index)
			}
			s.Section = f.Sections[index]
		}
		if s.Type == elf.STT_FILE {
			file = s
		} else if s.Bind == elf.STB_LOCAL && file != nil {
			s.File, s.FileIndex = file.Name, file.Index
		}
		if typ == elf.SHT_SYMTAB && s.Type != elf.STT_FILE {
			s.Name, s.Version = splitVersion(s.Name)
		}
		symbols = append(symbols, s)
	}
	return symbols, nil
}

// extendedIndices returns SHT_SYMTAB_SHNDX of the table, used by objects of
// more than 65279 sections.
func (f *File) extendedIndices(table *Section) ([]uint32, error) {
	for _, s := range f.Sections {
		if s.Type != elf.SHT_SYMTAB_SHNDX || int(s.Link) != table.Index {
			continue
		}
		data, err := s.Bytes()
		if err != nil {
			return nil, err
		}
		indices := make([]uint32, len(data)/4)
		for i := range indices {
			indices[i] = binary.LittleEndian.Uint32(data[4*i:])
		}
		return indices, nil
	}
	return nil, nil
}

// splitVersion takes the "@VERSION" or "@@VERSION" off that GNU ld writes
// into .symtab for symbols of shared libraries.
func splitVersion(name string) (string, string) {
	for i := 1; i < len(name); i++ {
		if name[i] == '@' {
			version := name[i+1:]
			if version != "" && version[0] == '@' {
				version = version[1:]
			}
			return name[:i], version
		}
	}
	return name, ""
}

// addDynamicVersions copies the versions that the standard library decodes
// from .gnu.version; it numbers .dynsym from its second entry.
func (f *File) addDynamicVersions() {
	symbols, err := f.raw.DynamicSymbols()
	if err != nil {
		return
	}
	for i, s := range symbols {
		if i+1 < len(f.Dynamic) {
			f.Dynamic[i+1].Version = s.Version
		}
	}
}

// DynamicStrings returns the values of a tag of the dynamic section that are
// strings, DT_NEEDED for example; none if the file has no such section.
func (f *File) DynamicStrings(tag elf.DynTag) (values []string, err error) {
	defer guard(&err)
	return f.raw.DynString(tag)
}

// DynamicValues returns the other values of a tag of the dynamic section.
func (f *File) DynamicValues(tag elf.DynTag) (values []uint64, err error) {
	defer guard(&err)
	return f.raw.DynValue(tag)
}

// Relocs returns the relocations that apply to section target of an ET_REL
// file, in the file's order. Only RELA is known: SHT_REL is an error.
func (f *File) Relocs(target *Section) (relocs []Reloc, err error) {
	defer guard(&err)
	for _, s := range f.Sections {
		if (s.Type != elf.SHT_RELA && s.Type != elf.SHT_REL) || int(s.Info) != target.Index {
			continue
		}
		more, err := f.ReadRela(s)
		if err != nil {
			return nil, err
		}
		relocs = append(relocs, more...)
	}
	return relocs, nil
}

// ReadRela decodes a SHT_RELA section against the symbol table it links to.
func (f *File) ReadRela(s *Section) (relocs []Reloc, err error) {
	defer guard(&err)
	if s.Type != elf.SHT_RELA {
		return nil, fmt.Errorf("section %q: only relocations with addends are supported", s.Name)
	}
	data, err := s.Bytes()
	if err != nil {
		return nil, err
	}
	const size = 24
	if len(data)%size != 0 || len(data)/size > maxRelocs {
		return nil, fmt.Errorf("section %q: %d bytes are no table of relocations", s.Name, len(data))
	}
	symbols := f.Symbols
	if f.Type == elf.ET_REL && len(symbols) == 0 && len(data) > 0 {
		return nil, fmt.Errorf("section %q: relocations in a file without symbols", s.Name)
	}
	if int(s.Link) < len(f.Sections) && f.Sections[s.Link].Type == elf.SHT_DYNSYM {
		symbols = f.Dynamic
	}
	relocs = make([]Reloc, 0, len(data)/size)
	for ; len(data) > 0; data = data[size:] {
		info := binary.LittleEndian.Uint64(data[8:])
		index := int(info >> 32)
		r := Reloc{
			Offset: binary.LittleEndian.Uint64(data), Type: uint32(info),
			Addend: int64(binary.LittleEndian.Uint64(data[16:])),
		}
		if index != 0 || len(symbols) > 0 {
			if index >= len(symbols) {
				return nil, fmt.Errorf("section %q: a relocation names symbol %d, which does not exist", s.Name, index)
			}
			r.Symbol = symbols[index]
		}
		relocs = append(relocs, r)
	}
	return relocs, nil
}

// readBuildID looks through the note sections, or the note segments of a file
// without section headers.
func (f *File) readBuildID() (BuildID, error) {
	for _, s := range f.Sections {
		if s.Type != elf.SHT_NOTE || s.Size > 1<<20 {
			continue
		}
		data, err := s.Bytes()
		if err != nil {
			return "", err
		}
		if id := BuildIDInNotes(data, s.Align); id != "" {
			return id, nil
		}
	}
	for _, p := range f.raw.Progs {
		if p.Type != elf.PT_NOTE || p.Filesz > 1<<20 {
			continue
		}
		data, err := io.ReadAll(p.Open())
		if err != nil {
			continue // debug files keep the header, not the bytes
		}
		if id := BuildIDInNotes(data, p.Align); id != "" {
			return id, nil
		}
	}
	return "", nil
}

// BuildIDInNotes returns the build ID in a note section or segment, "" if
// there is none. Notes are aligned to 4 bytes unless align says 8.
func BuildIDInNotes(data []byte, align uint64) BuildID {
	if align != 8 {
		align = 4
	}
	round := func(n uint64) uint64 { return (n + align - 1) &^ (align - 1) }
	for len(data) >= 12 {
		nameSize := uint64(binary.LittleEndian.Uint32(data))
		descSize := uint64(binary.LittleEndian.Uint32(data[4:]))
		typ := binary.LittleEndian.Uint32(data[8:])
		descStart := round(12 + nameSize)
		next := round(descStart + descSize)
		if descStart+descSize > uint64(len(data)) {
			return ""
		}
		const ntGNUBuildID = 3
		if typ == ntGNUBuildID && bytes.Equal(data[12:12+nameSize], []byte("GNU\x00")) && descSize > 0 && descSize <= 64 {
			return BuildID(hex.EncodeToString(data[descStart : descStart+descSize]))
		}
		if next >= uint64(len(data)) {
			return ""
		}
		data = data[next:]
	}
	return ""
}

func cString(table []byte, offset uint32) (string, error) {
	if offset == 0 {
		return "", nil
	}
	if uint64(offset) >= uint64(len(table)) {
		return "", fmt.Errorf("name at %d lies outside the string table", offset)
	}
	end := bytes.IndexByte(table[offset:], 0)
	if end < 0 {
		return "", fmt.Errorf("name at %d has no end", offset)
	}
	return string(table[offset : int(offset)+end]), nil
}
