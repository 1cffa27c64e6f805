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

// DWARF returns the debug information of the file, which is read once.
func (f *File) DWARF() (*dwarf.Data, error) {
	f.debug.once.Do(func() {
		defer guard(&f.debug.err)
		// The standard library leaves relocations alone whose symbol has an
		// extended section index, and so reads something else.
		if f.Section(".debug_info") == nil && f.Section(".zdebug_info") == nil {
			f.debug.err = errNoDebug
		} else if f.Type == elf.ET_REL && len(f.Sections) >= int(elf.SHN_LORESERVE) {
			f.debug.data, f.debug.err = f.relocatedDWARF()
		} else {
			f.debug.data, f.debug.err = f.raw.DWARF()
		}
	})
	return f.debug.data, f.debug.err
}

// absolute are the relocations of debug sections: symbol + addend, in so many
// bytes.
var absolute = map[elf.Machine]map[uint32]int{
	elf.EM_X86_64:  {uint32(elf.R_X86_64_64): 8, uint32(elf.R_X86_64_32): 4},
	elf.EM_AARCH64: {uint32(elf.R_AARCH64_ABS64): 8, uint32(elf.R_AARCH64_ABS32): 4},
}

// relocatedDWARF reads the debug information of an object, in which all sections
// are at address 0.
func (f *File) relocatedDWARF() (*dwarf.Data, error) {
	sections := map[string][]byte{}
	for _, s := range f.Sections {
		name, debug := strings.CutPrefix(s.Name, ".debug_")
		if !debug || s.Type == elf.SHT_RELA || sections[name] != nil {
			continue
		}
		data, err := s.Bytes()
		if err != nil {
			return nil, err
		}
		relocs, err := f.Relocs(s)
		if err != nil {
			return nil, err
		}
		for _, r := range relocs {
			value := uint64(r.Addend)
			if r.Symbol != nil {
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
		sections[name] = data
	}
	d, err := dwarf.New(sections["abbrev"], nil, nil, sections["info"], sections["line"], nil, sections["ranges"], sections["str"])
	if err != nil {
		return nil, err
	}
	for name, data := range sections { // those of DWARF 5; it ignores the others
		if err := d.AddSection(".debug_"+name, data); err != nil {
			return nil, err
		}
	}
	return d, nil
}
