package diff

import (
	"encoding/binary"
	"fmt"

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
		for _, r := range relocs {
			if r.Offset >= uint64(at) && r.Offset < uint64(end) {
				r.Offset -= uint64(at)
				e.relocs = append(e.relocs, r)
			}
		}
		byStart[at] = e
		entries = append(entries, e)
		at = end
	}
	return entries, nil
}

// describes reports whether the FDE is for the function section s.
func (e *frameEntry) describes(s *object.Section) bool {
	const initialLocation = 8
	for _, r := range e.relocs {
		if r.Offset == initialLocation && e.cie != nil {
			return r.Symbol.Section == s
		}
	}
	return false
}
