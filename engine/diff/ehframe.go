package diff

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/openeuler/syscare/engine/object"
)

const ehFrame = ".eh_frame"

// frameEntry is a record of .eh_frame: a CIE, or an FDE with its CIE. The
// format is that of the "Linux Standard Base Core Specification", 10.6.
type frameEntry struct {
	start  int
	data   []byte // with its length field
	relocs []object.Reloc
	cie    *frameEntry // nil for a CIE
}

// readFrames splits .eh_frame of f into records. An object without one has no
// records.
func readFrames(f *object.File) ([]*frameEntry, error) {
	section := f.Section(ehFrame)
	if section == nil {
		return nil, nil
	}
	data, err := section.Bytes()
	if err != nil {
		return nil, err
	}
	relocs, err := f.Relocs(section)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(relocs, func(a, b object.Reloc) int { return cmp.Compare(a.Offset, b.Offset) })
	var entries []*frameEntry
	byStart := map[int]*frameEntry{}
	for at := 0; at+4 <= len(data); {
		length := int(binary.LittleEndian.Uint32(data[at:]))
		if length == 0 {
			break
		}
		end := at + 4 + length
		if uint32(length) >= 0xfffffff0 || length < 4 || end > len(data) {
			return nil, fmt.Errorf("section %q: record at %#x has the length %#x", ehFrame, at, length)
		}
		e := &frameEntry{start: at, data: data[at:end]}
		if back := int(binary.LittleEndian.Uint32(data[at+4:])); back != 0 {
			if e.cie = byStart[at+4-back]; e.cie == nil {
				return nil, fmt.Errorf("section %q: record at %#x has no CIE", ehFrame, at)
			}
		}
		for ; len(relocs) > 0 && relocs[0].Offset < uint64(end); relocs = relocs[1:] {
			r := relocs[0]
			if r.Offset < uint64(at) {
				return nil, fmt.Errorf("section %q: relocation at %#x is in no record", ehFrame, r.Offset)
			}
			r.Offset -= uint64(at)
			e.relocs = append(e.relocs, r)
		}
		byStart[at] = e
		entries = append(entries, e)
		at = end
	}
	return entries, nil
}

// initialLocation is where in an FDE the address of its function is.
const initialLocation = 8

// attachFrames gives each function its unwind records, and what these refer to
// beyond the function itself: its table of clean-ups and handlers (LSDA) and
// the routine that reads it.
func (u *unit) attachFrames() error {
	frames, err := readFrames(u.file)
	if err != nil {
		return err
	}
	section := u.file.Section(ehFrame)
	for _, f := range frames {
		if f.cie == nil {
			continue
		}
		i := slices.IndexFunc(f.relocs, func(r object.Reloc) bool { return r.Offset == initialLocation })
		if i < 0 || f.relocs[i].Symbol.Section == nil {
			continue
		}
		n := u.bySection[f.relocs[i].Symbol.Section]
		if n == nil || !n.isFunction() {
			continue
		}
		n.frames = append(n.frames, f)
		others := append(slices.Clone(f.cie.relocs), slices.Delete(slices.Clone(f.relocs), i, i+1)...)
		if len(others) == 0 {
			continue
		}
		if n.unwind == nil {
			n.unwind = &node{section: section, kind: kindData, name: n.name}
		}
		n.unwind.relocs = append(n.unwind.relocs, others...)
	}
	return nil
}
