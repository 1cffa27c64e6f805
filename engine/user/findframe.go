package user

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/openeuler/syscare/engine/isa"
	"github.com/openeuler/syscare/engine/patchobject"
)

// Exceptions, thread cancellation and backtraces find the unwind information of
// code by _Unwind_Find_FDE in libgcc_s, which knows loaded files only, or what
// is registered by calls that take memory and locks and so cannot be made in a
// stopped process. libgcc_s calls that function through a slot of its own. A
// region with unwind information has a finder, which stands in that slot while
// the patch is active and passes on whatever is not in the region:
//
//	 0  u64 address of the function that the slot held before
//	 8  u64 unused
//	16  code, see isa.Arch.Finder
//	..  table, see isa.FinderEntry
//
// The finders of several patches form a chain. One that is not at its head when
// its patch is switched off stays in it and goes on telling the truth: the
// memory of patches that were active is never unmapped.
const (
	finderCode  = 16
	findFDE     = "_Unwind_Find_FDE"
	maxFinders  = 4096
	pcRelative4 = 0x1b // DW_EH_PE_pcrel | DW_EH_PE_sdata4
)

// framesSize is the room that the finder of .eh_frame needs; 0 if there are no
// records.
func framesSize(frames []byte, arch *isa.Arch) (uint64, error) {
	count := 0
	err := eachFrame(frames, func(int) error { count++; return nil })
	if err != nil || count == 0 {
		return 0, err
	}
	return finderTable(arch) + uint64(isa.FinderEntry*(count+1)), nil
}

func finderTable(arch *isa.Arch) uint64 { return align(uint64(finderCode+arch.FinderSize), 8) }

// eachFrame calls f with the offset of each FDE, whose addresses must be four
// bytes relative to their place, as GNU assemblers write them.
func eachFrame(frames []byte, f func(at int) error) error {
	le := binary.LittleEndian
	encodings := map[int]byte{}
	for at := 0; at+4 <= len(frames); {
		length := int(le.Uint32(frames[at:]))
		if length == 0 {
			break
		}
		end := at + 4 + length
		if length < 12 || length >= 0xfffffff0 || end > len(frames) {
			return fmt.Errorf("unwind information: record at %#x is cut short", at)
		}
		if back := int(le.Uint32(frames[at+4:])); back == 0 {
			encoding, err := addressEncoding(frames[at+8 : end])
			if err != nil {
				return fmt.Errorf("unwind information: record at %#x: %w", at, err)
			}
			encodings[at] = encoding
		} else if encodings[at+4-back] != pcRelative4 || length < 16 {
			return fmt.Errorf("unwind information: record at %#x has addresses of a form that is not known", at)
		} else if err := f(at); err != nil {
			return err
		}
		at = end
	}
	return nil
}

var errAugmentation = errors.New("augmentation is not understood")

// addressEncoding reads from a CIE, behind its length and ID, how its FDEs
// spell addresses: "Linux Standard Base Core Specification", 10.6.1.
func addressEncoding(cie []byte) (byte, error) {
	augmentation, rest, ok := bytes.Cut(cie[1:], []byte{0})
	if !ok || len(augmentation) == 0 || augmentation[0] != 'z' {
		return 0, errAugmentation
	}
	for range 3 { // code and data alignment, return address register: LEB128
		for len(rest) > 0 && rest[0]&0x80 != 0 {
			rest = rest[1:]
		}
		rest = rest[min(1, len(rest)):]
	}
	rest = rest[min(1, len(rest)):] // length of what follows: less than 128
	for _, c := range augmentation[1:] {
		if len(rest) == 0 {
			return 0, errAugmentation
		}
		switch c {
		case 'R':
			return rest[0], nil
		case 'L':
			rest = rest[1:]
		case 'P': // its encoding, then 4 or 8 bytes
			size := map[byte]int{0x0: 8, 0x3: 4, 0xb: 4, 0x4: 8, 0xc: 8}[rest[0]&0xf]
			if size == 0 || len(rest) < 1+size {
				return 0, errAugmentation
			}
			rest = rest[1+size:]
		case 'S', 'B':
		default:
			return 0, errAugmentation
		}
	}
	return 0, errAugmentation
}

// fillFinder writes the finder of a relocated region.
func (l *layout) fillFinder() error {
	if l.finder.size == 0 {
		return nil
	}
	le := binary.LittleEndian
	frames := l.frames()
	image := l.image[frames.at-l.base:][:frames.size]
	at, table := l.base+l.finder.at, finderTable(l.arch)
	code, err := l.arch.Finder(at+finderCode, at+table, at)
	if err != nil {
		return err
	}
	out := l.image[l.finder.at:][:l.finder.size]
	copy(out[finderCode:], code)
	entry := out[table:]
	return eachFrame(image, func(record int) error {
		place := frames.at + uint64(record) + 8
		start := place + uint64(int64(int32(le.Uint32(image[record+8:]))))
		le.PutUint64(entry[0:], start)
		le.PutUint64(entry[8:], start+uint64(le.Uint32(image[record+12:])))
		le.PutUint64(entry[16:], frames.at+uint64(record))
		entry = entry[isa.FinderEntry:]
		return nil
	})
}

// checkUnwinder refuses a patch with handlers or clean-ups where nothing would
// find them.
func (l *loader) checkUnwinder(maps []mapping) error {
	if !l.layout.handlesExceptions() {
		return nil
	}
	slots, _, err := unwindSlots(l.proc, l.mem, maps)
	if err == nil && len(slots) != 1 {
		err = ErrUnresolved{Symbol: findFDE, Reason: "the patch handles exceptions, and the process does not have exactly one shared libgcc_s that can be told about it"}
	}
	return err
}

// handlesExceptions reports whether the patch has handlers or clean-ups, whose
// tables only the finder can give.
func (l *layout) handlesExceptions() bool {
	return slices.ContainsFunc(l.obj.Sections, func(s patchobject.Section) bool { return strings.HasPrefix(s.Name, ".gcc_except_table") })
}

// unwindSlots finds the slots through which the process's libgcc_s calls
// _Unwind_Find_FDE, and the function itself.
func unwindSlots(p Process, mem memory, maps []mapping) (slots []uint64, function uint64, err error) {
	for _, img := range images(mem, maps) {
		m := find(maps, img.start)
		if m == nil || !strings.HasPrefix(path.Base(string(m.name)), "libgcc_s") {
			continue
		}
		lib, err := openModule(p, img)
		if err != nil {
			return nil, 0, err
		}
		s := lib.define(findFDE, "")
		slot, ok := lib.slot(lib.plt, findFDE)
		if !ok {
			slot, ok = lib.slot(lib.globals, findFDE)
		}
		if s != nil && ok {
			slots, function = append(slots, slot), img.bias+s.value
		}
	}
	return slots, function, nil
}

// finderEdits puts the finder of h at the head of the chain, or takes it away
// from there.
func (w *switcher) finderEdits(maps []mapping, all []*header, on bool) error {
	h := w.head
	if h.finder.size == 0 {
		return nil
	}
	slots, function, err := unwindSlots(w.proc, w.mem, maps)
	if err != nil {
		return fmt.Errorf("unwinder of the process: %w", err)
	}
	if len(slots) > 1 {
		return ErrUnresolved{Symbol: findFDE, Reason: "the process has loaded libgcc_s more than once"}
	}
	for _, slot := range slots {
		now, err := w.mem.word(slot)
		if err != nil {
			return err
		}
		own := h.finder.at + finderCode
		if !on {
			if now == own {
				before, err := w.mem.word(h.finder.at)
				if err != nil {
					return err
				}
				w.editWord(slot, own, before)
			}
			continue
		}
		chained, err := w.inChain(all, now)
		if err != nil || chained {
			return err
		}
		before := now
		if m := find(maps, slot); m != nil {
			// A slot that is not bound yet leads back into its own file.
			if to := find(maps, now); to == nil || to.file == m.file {
				before = function
			}
		}
		if err := w.mem.write(binary.LittleEndian.AppendUint64(nil, before), h.finder.at); err != nil {
			return err
		}
		w.editWord(slot, now, own)
	}
	return nil
}

func (w *switcher) editWord(at, from, to uint64) {
	old, new := binary.LittleEndian.AppendUint64(nil, from), binary.LittleEndian.AppendUint64(nil, to)
	w.edits = append(w.edits, edit{at: at, old: old, new: new})
	w.slots = append(w.slots, edit{at: at, old: old, new: make([]byte, len(old))})
}

// inChain reports whether the finder of our region is in the chain that begins
// at an address.
func (w *switcher) inChain(all []*header, at uint64) (bool, error) {
	for range maxFinders {
		i := slices.IndexFunc(all, func(h *header) bool { return h.finder.size > 0 && h.finder.at+finderCode == at })
		if i < 0 {
			return false, nil
		}
		if all[i].rx == w.head.rx {
			return true, nil
		}
		var err error
		if at, err = w.mem.word(all[i].finder.at); err != nil {
			return false, err
		}
	}
	return false, fmt.Errorf("process %d: the chain of frame finders has no end", w.proc.PID)
}
