package diff

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/openeuler/syscare/engine/object"
)

// Export is a symbol that a kernel offers to modules.
type Export struct {
	GPL       bool
	CRC       uint32 // of its type; 0 without CONFIG_MODVERSIONS
	Namespace string
}

// ReadExports reads what a kernel exports from its vmlinux: for each a struct
// kernel_symbol in the section __ksymtab or __ksymtab_gpl, whose fields are distances from
// themselves, and a sum in __kcrctab: include/linux/export.h.
func ReadExports(f *object.File) (map[string]Export, error) {
	exports := map[string]Export{}
	image := imageReader{contents: map[*object.Section][]byte{}}
	for _, s := range f.Symbols {
		name, found := strings.CutPrefix(s.Name, "__ksymtab_")
		if !found || s.Section == nil || !strings.HasPrefix(s.Section.Name, "__ksymtab") || s.Section.Name == "__ksymtab_strings" {
			continue
		}
		e := exports[name]
		e.GPL = strings.HasSuffix(s.Section.Name, "_gpl")
		fields, err := image.at(s.Section, s.Value, 12)
		if err != nil {
			return nil, fmt.Errorf("export %q: %w", name, err)
		}
		if distance := int32(binary.LittleEndian.Uint32(fields[8:])); distance != 0 {
			if e.Namespace, err = image.text(f, s.Value+8+uint64(int64(distance))); err != nil {
				return nil, fmt.Errorf("export %q: %w", name, err)
			}
		}
		exports[name] = e
	}
	for _, s := range f.Symbols {
		name, found := strings.CutPrefix(s.Name, "__crc_")
		e, known := exports[name]
		if found && known && s.Shndx == elf.SHN_ABS { // before Linux 5.19, the value is the sum
			e.CRC = uint32(s.Value)
			exports[name] = e
		}
		if !found || !known || s.Section == nil {
			continue
		}
		sum, err := image.at(s.Section, s.Value, 4)
		if err != nil {
			return nil, fmt.Errorf("export %q: %w", name, err)
		}
		e.CRC = binary.LittleEndian.Uint32(sum)
		exports[name] = e
	}
	if len(exports) == 0 {
		return nil, fmt.Errorf("it exports nothing to modules: is it a kernel with its symbols?")
	}
	return exports, nil
}

// newExports lists what the patched object exports and the original one does not: each
// export has a section of its own.
func newExports(original, patched *object.File) (names []string) {
	exports := func(f *object.File) map[string]bool {
		found := map[string]bool{}
		for _, s := range f.Sections {
			if rest, ok := strings.CutPrefix(s.Name, "___ksymtab"); ok {
				_, name, _ := strings.Cut(rest, "+")
				found[name] = true
			}
		}
		return found
	}
	before := exports(original)
	for name := range exports(patched) {
		if !before[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// imageReader reads from the sections of a linked file, each once.
type imageReader struct {
	contents map[*object.Section][]byte
}

// at gives size bytes at an address, which lies in s.
func (r imageReader) at(s *object.Section, address uint64, size int) ([]byte, error) {
	data, known := r.contents[s]
	if !known {
		var err error
		if data, err = s.Bytes(); err != nil {
			return nil, err
		}
		r.contents[s] = data
	}
	offset := address - uint64(s.Address)
	if offset > uint64(len(data)) || uint64(size) > uint64(len(data))-offset {
		return nil, fmt.Errorf("address %#x lies outside section %q", address, s.Name)
	}
	return data[offset : offset+uint64(size)], nil
}

// text gives the string at an address.
func (r imageReader) text(f *object.File, address uint64) (string, error) {
	for _, s := range f.Sections {
		if offset := address - uint64(s.Address); s.Address == 0 || offset >= s.Size {
			continue
		}
		rest, err := r.at(s, address, int(uint64(s.Address)+s.Size-address))
		if err != nil {
			return "", err
		}
		text, _, ended := bytes.Cut(rest, []byte{0})
		if !ended {
			break
		}
		return string(text), nil
	}
	return "", fmt.Errorf("no string at %#x", address)
}
