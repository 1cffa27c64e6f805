package object

import (
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// errNoDebug is for files without debug information, of which the standard library says
// that it is too short.
var errNoDebug = errors.New("there is none: the file was stripped, or compiled without -g")

// errTypeUnits is for objects with types in sections of their own, whose relocations lead
// from one to another.
var errTypeUnits = errors.New("types in units of their own are not supported in objects: compile with -fno-debug-types-section")

// DWARF returns the debug information of the file, which is read once. Addresses in that
// of an object are offsets in their sections.
func (f *File) DWARF() (*dwarf.Data, error) {
	f.debug.once.Do(func() {
		defer guard(&f.debug.err)
		f.debug.data, f.debug.err = f.readDWARF()
	})
	return f.debug.data, f.debug.err
}

// Entries reads the entries of the debug information, from the first to the last.
func (f *File) Entries() (*Entries, error) {
	data, err := f.DWARF()
	if err != nil {
		return nil, err
	}
	return &Entries{data.Reader(), f.debug.size}, nil
}

// Entries are those of debug information, which end whatever it holds: the standard
// library's reader does not, where a number is cut off at the end of a unit.
type Entries struct {
	*dwarf.Reader
	left int // an entry has a byte at least
}

// Next gives the next entry, nil after the last one.
func (e *Entries) Next() (*dwarf.Entry, error) {
	if e.left--; e.left < 0 {
		return nil, errors.New("malformed debug information: it has no end")
	}
	return e.Reader.Next()
}

// absolute are the relocations of debug sections: symbol + addend, in so many bytes.
var absolute = map[elf.Machine]map[uint32]int{
	elf.EM_X86_64: {
		uint32(elf.R_X86_64_64): 8, uint32(elf.R_X86_64_32): 4, uint32(elf.R_X86_64_DTPOFF64): 8, uint32(elf.R_X86_64_DTPOFF32): 4,
	},
	elf.EM_AARCH64: {uint32(elf.R_AARCH64_ABS64): 8, uint32(elf.R_AARCH64_ABS32): 4, tlsOffset64: 8},
}

// tlsOffset64 is R_AARCH64_TLS_DTPREL64 of the ELF for the Arm 64-bit Architecture.
const tlsOffset64 = 1029

// debugSections are those that the standard library reads.
var debugSections = map[string]bool{
	"abbrev": true, "info": true, "line": true, "ranges": true, "str": true,
	"addr": true, "line_str": true, "str_offsets": true, "rnglists": true, // DWARF 5
}

// readDWARF reads what is needed of the debug information, each section once and no
// more. (The standard library's reader of ELF files takes twice the memory, and leaves
// relocations alone whose symbol has an extended section index.)
func (f *File) readDWARF() (*dwarf.Data, error) {
	sections := map[string][]byte{}
	var types [][]byte
	for _, s := range f.Sections {
		name, debug := strings.CutPrefix(s.Name, ".debug_")
		if !debug {
			name, debug = strings.CutPrefix(s.Name, ".zdebug_")
		}
		if name == "info" && debug && sections[name] != nil && f.Type == elf.ET_REL && s.Type != elf.SHT_RELA {
			return nil, errTypeUnits
		}
		if !debug || s.Type == elf.SHT_RELA || name != "types" && (!debugSections[name] || sections[name] != nil) {
			continue
		}
		data, err := f.debugSection(s)
		if err != nil {
			return nil, err
		}
		if name == "types" && f.Type == elf.ET_REL {
			return nil, errTypeUnits
		}
		if name == "types" {
			types = append(types, data)
			f.debug.size += len(data)
		} else {
			sections[name] = data
		}
	}
	if sections["info"] == nil {
		return nil, errNoDebug
	}
	f.debug.info = sections["info"]
	f.debug.size += len(sections["info"]) + 1
	d, err := dwarf.New(sections["abbrev"], nil, nil, sections["info"], sections["line"], nil, sections["ranges"], sections["str"])
	if err != nil {
		return nil, err
	}
	for name, data := range sections { // it ignores those that it has
		if err := d.AddSection(".debug_"+name, data); err != nil {
			return nil, err
		}
	}
	for i, data := range types {
		if err := d.AddTypes(fmt.Sprintf("types-%d", i), data); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// debugSection reads a section and, in an object, applies its relocations.
func (f *File) debugSection(s *Section) ([]byte, error) {
	data, err := s.Bytes()
	if err != nil || f.Type != elf.ET_REL {
		return data, err
	}
	relocs, err := f.Relocs(s)
	if err != nil {
		return nil, err
	}
	for _, r := range relocs {
		value := uint64(r.Addend)
		if r.Symbol != nil && r.Symbol.Shndx != elf.SHN_COMMON {
			value += r.Symbol.Value
		}
		size, known := absolute[f.Machine][r.Type]
		switch {
		case r.Type == 0:
		case !known:
			return nil, fmt.Errorf("section %q: relocation type %d in debug information is not understood", s.Name, r.Type)
		case r.Offset > uint64(len(data)) || uint64(size) > uint64(len(data))-r.Offset:
			return nil, fmt.Errorf("section %q: a relocation at %#x lies outside", s.Name, r.Offset)
		case size == 8:
			binary.LittleEndian.PutUint64(data[r.Offset:], value)
		default:
			binary.LittleEndian.PutUint32(data[r.Offset:], uint32(value))
		}
	}
	return data, nil
}

// UnitOffsets gives where the first entry of each unit is, for Reader.Seek: who wants
// nothing but these need not walk over all that is between. See "DWARF Debugging
// Information Format Version 5", section 7.5.1.
func (f *File) UnitOffsets() (offsets []dwarf.Offset, err error) {
	if _, err := f.DWARF(); err != nil {
		return nil, err
	}
	data := f.debug.info
	for at := 0; at < len(data); {
		rest := data[at:]
		if len(rest) < 24 {
			return nil, fmt.Errorf("debug information: the unit at %#x is cut short", at)
		}
		length, header := uint64(binary.LittleEndian.Uint32(rest)), 4
		word := 4 // bytes of an offset
		if length == 0xffffffff {
			length, header, word = binary.LittleEndian.Uint64(rest[4:]), 12, 8
		}
		if length > uint64(len(rest)-header) {
			return nil, fmt.Errorf("debug information: the unit at %#x is longer than the section", at)
		}
		first := header + 2 + word + 1 // length, version, offset of the abbreviations, address size
		if version := binary.LittleEndian.Uint16(rest[header:]); version >= 5 {
			first++
			switch rest[header+2] {
			case unitSkeleton, unitSplitCompile:
				first += 8
			case unitType, unitSplitType:
				first += 8 + word
			}
		}
		offsets = append(offsets, dwarf.Offset(at+first))
		at += header + int(length)
	}
	return offsets, nil
}

// Types of units, of which the header is longer.
const (
	unitType         = 2
	unitSkeleton     = 4
	unitSplitCompile = 5
	unitSplitType    = 6
)
