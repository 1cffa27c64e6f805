package isa

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math"

	"golang.org/x/arch/x86/x86asm"
)

// AMD64 is x86-64. Relocations are those of the "System V Application Binary
// Interface, AMD64 Architecture Processor Supplement", table 4.9; how linkers
// relax them is its appendix B.2 and section 4.4.1 of Ulrich Drepper's "ELF
// Handling For Thread-Local Storage".
var AMD64 = &Arch{
	Name:    "x86_64",
	Machine: elf.EM_X86_64,
	relocs: map[uint32]RelocType{
		uint32(elf.R_X86_64_64):            {Name: "R_X86_64_64", Kind: Absolute, Size: 8, After: 8},
		uint32(elf.R_X86_64_32):            {Name: "R_X86_64_32", Kind: Absolute, Size: 4, After: 4},
		uint32(elf.R_X86_64_32S):           {Name: "R_X86_64_32S", Kind: Absolute, Size: 4, Signed: true, After: 4},
		uint32(elf.R_X86_64_PC32):          {Name: "R_X86_64_PC32", Kind: Relative, Size: 4, Signed: true, After: 4},
		uint32(elf.R_X86_64_PC64):          {Name: "R_X86_64_PC64", Kind: Relative, Size: 8, Signed: true, After: 8},
		uint32(elf.R_X86_64_PLT32):         {Name: "R_X86_64_PLT32", Kind: Branch, Size: 4, Signed: true, After: 4},
		uint32(elf.R_X86_64_GOTPCREL):      {Name: "R_X86_64_GOTPCREL", Kind: SlotRelative, Size: 4, Signed: true, Before: 3, After: 4},
		uint32(elf.R_X86_64_GOTPCRELX):     {Name: "R_X86_64_GOTPCRELX", Kind: SlotRelative, Size: 4, Signed: true, Before: 3, After: 4},
		uint32(elf.R_X86_64_REX_GOTPCRELX): {Name: "R_X86_64_REX_GOTPCRELX", Kind: SlotRelative, Size: 4, Signed: true, Before: 3, After: 4},
		uint32(elf.R_X86_64_GOTTPOFF):      {Name: "R_X86_64_GOTTPOFF", Kind: SlotTLS, Size: 4, Signed: true, Before: 3, After: 4},
		uint32(elf.R_X86_64_TPOFF32):       {Name: "R_X86_64_TPOFF32", Kind: ThreadOffset, Size: 4, Signed: true, After: 4},
	},
	JumpSize:    5,
	JumpReach:   math.MaxInt32,
	StubSize:    6,
	entryOffset: amd64EntryOffset,
	jump:        amd64Jump,
	stub:        amd64Stub,
	isBranch:    amd64IsBranch,
	length:      amd64Length,
}

var endbr64 = [4]byte{0xf3, 0x0f, 0x1e, 0xfa}

func amd64EntryOffset(code []byte) int {
	if len(code) >= len(endbr64) && [4]byte(code) == endbr64 {
		return len(endbr64)
	}
	return 0
}

// rel32 is the displacement of a rip-relative field whose instruction ends at
// next.
func rel32(next, to uint64) (uint32, error) {
	distance := int64(to - next)
	if distance < math.MinInt32 || distance > math.MaxInt32 {
		return 0, fmt.Errorf("from %#x to %#x: %w", next, to, ErrRange)
	}
	return uint32(distance), nil
}

// amd64Jump encodes jmp rel32.
func amd64Jump(from, to uint64) ([]byte, error) {
	rel, err := rel32(from+5, to)
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint32([]byte{0xe9}, rel), nil
}

// amd64Stub encodes jmp *slot(%rip).
func amd64Stub(at, slot uint64) ([]byte, error) {
	rel, err := rel32(at+6, slot)
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint32([]byte{0xff, 0x25}, rel), nil
}

// amd64IsBranch knows call and jmp rel32 (E8, E9), jcc rel32 (0F 8x), and
// call and jmp through a rip-relative slot (FF 15, FF 25). Compilers generate
// R_X86_64_PLT32 for branches only.
func amd64IsBranch(code []byte, offset uint64, typ uint32) bool {
	if offset > uint64(len(code)) {
		return false
	}
	before := code[:offset]
	at := func(back int) byte {
		if len(before) < back {
			return 0
		}
		return before[len(before)-back]
	}
	switch elf.R_X86_64(typ) {
	case elf.R_X86_64_PLT32:
		return true
	case elf.R_X86_64_PC32:
		return at(1) == 0xe8 || at(1) == 0xe9 || at(2) == 0x0f && at(1)&0xf0 == 0x80
	case elf.R_X86_64_GOTPCREL, elf.R_X86_64_GOTPCRELX:
		return at(2) == 0xff && (at(1) == 0x15 || at(1) == 0x25)
	}
	return false
}

func amd64Length(code []byte) (int, error) {
	if amd64EntryOffset(code) != 0 {
		return len(endbr64), nil // newer than the decoder's tables
	}
	inst, err := x86asm.Decode(code, 64)
	if err != nil {
		return 0, fmt.Errorf("decode instruction: %w", err)
	}
	return inst.Len, nil
}
