package isa

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrUnsupported says that the processor or a relocation type is not known.
var ErrUnsupported = errors.New("not supported")

// ErrRange says that a value does not fit where it has to be stored.
var ErrRange = errors.New("out of range")

// RelocKind says how the value of a relocation is computed. S is the symbol's
// address, A the addend, P the place being relocated, G the address of a slot
// in the patch's own table of addresses, T the symbol's offset from the thread
// pointer.
type RelocKind int

const (
	Absolute       RelocKind = iota + 1 // S + A
	Relative                            // S + A - P
	Branch                              // S + A - P; S may be a stub that jumps to the symbol
	SlotRelative                        // G + A - P; the slot holds S
	SlotTLS                             // G + A - P; the slot holds T
	ThreadOffset                        // T + A
	SlotModule                          // G + A - P; two slots hold S's TLS module and its offset there
	SlotModuleBase                      // G + A - P; two slots hold the TLS module of the target and 0
	ModuleOffset                        // S's offset in the block of its TLS module, + A
)

// RelocType describes one relocation type of a processor.
type RelocType struct {
	Name   string
	Kind   RelocKind
	Size   int  // bytes stored: 1, 2, 4 or 8
	Signed bool // the stored value is sign-extended by its user
	// Before and After are how many bytes around the offset the linker may
	// rewrite when it relaxes the instruction: [offset-Before, offset+After).
	Before, After int
}

// Arch is one processor architecture.
type Arch struct {
	Name    string // as uname -m says it
	Machine elf.Machine

	relocs map[uint32]RelocType

	// JumpSize is the length in bytes of the jump that redirects a function.
	JumpSize int
	// JumpReach is the largest distance in bytes that the jump can bridge.
	JumpReach int64
	// StubSize is the length in bytes of a stub made by Stub.
	StubSize int
	// Return is code that a called function returns to: it keeps the result in a
	// register that calls preserve and makes the system call rt_sigreturn, whose
	// instruction ends at the end of the code.
	Return []byte
	// SampledRegisters are stack pointer and program counter, in this order, as
	// perf_event_open(2) numbers registers: arch/*/include/uapi/asm/perf_regs.h.
	SampledRegisters uint64
	// FinderSize is the length in bytes of the code made by Finder.
	FinderSize int

	entryOffset func(code []byte) int
	jump        func(from, to uint64) ([]byte, error)
	stub        func(at, slot uint64) ([]byte, error)
	finder      func(at, table, previous uint64) ([]byte, error)
	isBranch    func(code []byte, offset uint64, typ uint32) bool
	length      func(code []byte) (int, error)
	padding     func(code []byte) bool
}

// ForMachine returns the architecture of an ELF machine number.
func ForMachine(m elf.Machine) (*Arch, error) {
	if m == elf.EM_X86_64 {
		return AMD64, nil
	}
	return nil, fmt.Errorf("processor %v: %w", m, ErrUnsupported)
}

// Reloc describes the relocation type typ.
func (a *Arch) Reloc(typ uint32) (RelocType, error) {
	t, ok := a.relocs[typ]
	if !ok {
		return RelocType{}, fmt.Errorf("relocation type %d of %s: %w", typ, a.Name, ErrUnsupported)
	}
	return t, nil
}

// Store writes value into code at offset as t says, or fails with ErrRange.
func (t RelocType) Store(code []byte, offset uint64, value int64) error {
	if offset > uint64(len(code)) || uint64(t.Size) > uint64(len(code))-offset {
		return fmt.Errorf("%s at %#x: outside its section: %w", t.Name, offset, ErrRange)
	}
	at := code[offset:]
	fits := true
	switch {
	case t.Size == 8:
		binary.LittleEndian.PutUint64(at, uint64(value))
	case t.Size == 4 && t.Signed:
		fits = value >= math.MinInt32 && value <= math.MaxInt32
		binary.LittleEndian.PutUint32(at, uint32(value))
	case t.Size == 4:
		fits = value >= 0 && value <= math.MaxUint32
		binary.LittleEndian.PutUint32(at, uint32(value))
	default:
		return fmt.Errorf("%s: %d bytes wide: %w", t.Name, t.Size, ErrUnsupported)
	}
	if !fits {
		return fmt.Errorf("%s at %#x: value %#x: %w", t.Name, offset, value, ErrRange)
	}
	return nil
}

// EntryOffset is how many bytes at the start of a function must stay before
// the redirecting jump: a landing pad of indirect branch tracking, or none.
func (a *Arch) EntryOffset(code []byte) int { return a.entryOffset(code) }

// Jump encodes a jump of JumpSize bytes at address from to address to.
func (a *Arch) Jump(from, to uint64) ([]byte, error) { return a.jump(from, to) }

// Stub encodes, for address at, a jump through the 8-byte slot at address
// slot; it reaches any address and changes no register.
func (a *Arch) Stub(at, slot uint64) ([]byte, error) { return a.stub(at, slot) }

// FinderEntry is the size in bytes of an entry of the table that Finder reads:
// the first address of a function, the one behind its last, and the address of
// its frame description entry (FDE), 8 bytes each. An entry with the first
// address 0 ends the table.
const FinderEntry = 24

// Finder encodes, for address at, a function that can stand in the place of
// libgcc's _Unwind_Find_FDE(pc, bases): it knows the functions in the table and
// leaves all others to the function whose address is at previous.
func (a *Arch) Finder(at, table, previous uint64) ([]byte, error) {
	return a.finder(at, table, previous)
}

// IsBranch reports whether the relocation of type typ at offset of code is the
// destination of a direct call or jump, or of an indirect one through a slot
// (-fno-plt); otherwise the address itself is being taken or read.
func (a *Arch) IsBranch(code []byte, offset uint64, typ uint32) bool {
	return a.isBranch(code, offset, typ)
}

// InstructionLength decodes the length in bytes of the first instruction.
func (a *Arch) InstructionLength(code []byte) (int, error) { return a.length(code) }

// IsPadding reports whether code is the beginning of what assemblers and
// linkers fill the space between functions with.
func (a *Arch) IsPadding(code []byte) bool { return a.padding(code) }
