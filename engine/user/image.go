package user

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/openeuler/syscare/engine/object"
)

const (
	maxSegments   = 128
	programHeader = 56 // bytes of a program header, gABI
)

// image is one ELF file as a process maps it.
type image struct {
	bias       uint64 // what is added to a link-time address
	lo, hi     uint64 // what its PT_LOADs cover
	entry      uint64 // link-time
	segments   []elf.Prog64
	buildID    object.BuildID
	start, end uint64 // its first mapping, which names it in map_files
	file       fileID
}

// readHeaders reads the program headers of an ELF file whose first byte is at
// base of r.
func readHeaders(r io.ReaderAt, base uint64) (entry uint64, segments []elf.Prog64, err error) {
	var raw [64]byte
	if _, err := r.ReadAt(raw[:], int64(base)); err != nil {
		return 0, nil, err
	}
	le := binary.LittleEndian
	entry, tableAt := le.Uint64(raw[24:]), le.Uint64(raw[32:])
	size, count := le.Uint16(raw[54:]), le.Uint16(raw[56:])
	if !bytes.HasPrefix(raw[:], []byte(elf.ELFMAG)) || raw[elf.EI_CLASS] != byte(elf.ELFCLASS64) ||
		raw[elf.EI_DATA] != byte(elf.ELFDATA2LSB) || size != programHeader || count > maxSegments || tableAt > 1<<30 {
		return 0, nil, object.ErrNotELF
	}
	table := make([]byte, programHeader*int(count))
	if _, err := r.ReadAt(table, int64(base+tableAt)); err != nil {
		return 0, nil, err
	}
	segments = make([]elf.Prog64, count)
	for i := range segments {
		b := table[programHeader*i:]
		segments[i] = elf.Prog64{
			Type: le.Uint32(b), Flags: le.Uint32(b[4:]), Off: le.Uint64(b[8:]), Vaddr: le.Uint64(b[16:]),
			Paddr: le.Uint64(b[24:]), Filesz: le.Uint64(b[32:]), Memsz: le.Uint64(b[40:]), Align: le.Uint64(b[48:]),
		}
	}
	return entry, segments, nil
}

// readImage reads the image whose first mapping is maps[i]; not every mapping
// of a file's beginning is one.
func readImage(mem memory, maps []mapping, i int) (image, bool) {
	m := maps[i]
	img := image{start: m.start, end: m.end, file: m.file}
	var err error
	if img.entry, img.segments, err = readHeaders(mem, m.start); err != nil {
		return image{}, false
	}
	first, code := true, false
	for _, s := range img.segments {
		if elf.ProgType(s.Type) != elf.PT_LOAD {
			continue
		}
		if first {
			if s.Off&^(pageSize-1) != 0 {
				return image{}, false
			}
			img.bias, img.lo, first = m.start-s.Vaddr&^(pageSize-1), m.start, false
		}
		img.hi = max(img.hi, (img.bias+s.Vaddr+s.Memsz+pageSize-1)&^(pageSize-1))
		if elf.ProgFlag(s.Flags)&elf.PF_X != 0 {
			if at := find(maps, img.bias+s.Vaddr); at != nil && at.exec && at.file == m.file {
				code = true
			}
		}
	}
	if !code || img.hi <= img.lo {
		return image{}, false
	}
	for _, s := range img.segments {
		if elf.ProgType(s.Type) != elf.PT_NOTE || s.Filesz > 64<<10 || img.buildID != "" {
			continue
		}
		if notes, err := mem.bytes(img.bias+s.Vaddr, int(s.Filesz)); err == nil {
			img.buildID = object.BuildIDInNotes(notes, s.Align)
		}
	}
	return img, true
}

// images returns every ELF file that the process maps as code.
func images(mem memory, maps []mapping) []image {
	var all []image
	for i, m := range maps {
		if m.file.inode != 0 && m.offset == 0 && m.read {
			if img, ok := readImage(mem, maps, i); ok {
				all = append(all, img)
			}
		}
	}
	return all
}

// locate finds the image with that build ID.
func locate(all []image, id object.BuildID) (image, error) {
	for _, img := range all {
		if img.buildID == id {
			return img, nil
		}
	}
	return image{}, fmt.Errorf("build ID %s: %w", id, ErrNoTarget)
}

// segment returns the first segment of that type.
func (img image) segment(typ elf.ProgType) (elf.Prog64, bool) {
	for _, s := range img.segments {
		if elf.ProgType(s.Type) == typ {
			return s, true
		}
	}
	return elf.Prog64{}, false
}

// path names the very file that is mapped, deleted or in another mount
// namespace as it may be.
func (img image) path(p Process) string {
	return p.path(fmt.Sprintf("map_files/%x-%x", img.start, img.end))
}
