package diff

import (
	"debug/elf"
	"encoding/binary"

	"github.com/openeuler/syscare/engine/object"
)

// emitFrames writes the unwind records of all functions in the patch. Equal
// CIEs are written once.
func (e *emitter) emitFrames() error {
	section := &object.BuildSection{Name: ehFrame, Type: elf.SHT_PROGBITS, Flags: elf.SHF_ALLOC, Align: 8}
	f := frameWriter{emitter: e, section: section, cies: map[cieKey]int{}}
	for _, u := range e.units {
		for _, n := range u.nodes {
			for _, frame := range n.frames {
				if u.shared[n] {
					continue
				}
				if err := f.add(u, n, frame); err != nil {
					return err
				}
			}
		}
	}
	if len(section.Data) > 0 {
		section.Data = append(section.Data, 0, 0, 0, 0) // the terminator
		e.out.AddSection(section)
	}
	return nil
}

type frameWriter struct {
	*emitter
	section *object.BuildSection
	cies    map[cieKey]int // where each was written
}

// cieKey tells CIEs apart: by their bytes and by the routine that reads the
// tables of the functions.
type cieKey struct {
	data    string
	routine *object.BuildSymbol
	addend  int64
}

func (f *frameWriter) add(u *emittedUnit, n *node, frame *frameEntry) error {
	if len(frame.cie.relocs) > 1 {
		return u.refuse(n.name, "its unwind information has a form that is not known")
	}
	key := cieKey{data: string(frame.cie.data)}
	for _, r := range frame.cie.relocs {
		var err error
		if key.routine, key.addend, err = f.target(u, n, r); err != nil {
			return err
		}
	}
	cie, known := f.cies[key]
	if !known {
		cie = len(f.section.Data)
		f.cies[key] = cie
		f.section.Data = append(f.section.Data, frame.cie.data...)
		for _, r := range frame.cie.relocs {
			f.section.Relocs = append(f.section.Relocs, object.BuildReloc{
				Offset: uint64(cie) + r.Offset, Type: r.Type, Symbol: key.routine, Addend: key.addend,
			})
		}
	}
	start := len(f.section.Data)
	f.section.Data = append(f.section.Data, frame.data...)
	binary.LittleEndian.PutUint32(f.section.Data[start+4:], uint32(start+4-cie))
	for _, r := range frame.relocs {
		out := object.BuildReloc{Offset: uint64(start) + r.Offset, Type: r.Type}
		if r.Offset == initialLocation {
			out.Symbol, out.Addend = f.bases[u.sections[n]], int64(r.Symbol.Value)+r.Addend
		} else {
			var err error
			if out.Symbol, out.Addend, err = f.target(u, n, r); err != nil {
				return err
			}
		}
		f.section.Relocs = append(f.section.Relocs, out)
	}
	return nil
}

// target finds what a relocation of an unwind record of n refers to.
func (f *frameWriter) target(u *emittedUnit, n *node, r object.Reloc) (*object.BuildSymbol, int64, error) {
	typ, err := f.arch.Reloc(r.Type)
	if err != nil {
		return nil, 0, u.refuse(n.name, "its unwind information cannot be patched: %v", err)
	}
	return f.resolve(u, n.unwind, typ, r)
}
