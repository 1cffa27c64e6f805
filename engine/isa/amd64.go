package isa

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

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
		// The sequences that linkers rewrite reach over the call behind them.
		uint32(elf.R_X86_64_TLSGD):    {Name: "R_X86_64_TLSGD", Kind: SlotModule, Size: 4, Signed: true, Before: 4, After: 13},
		uint32(elf.R_X86_64_TLSLD):    {Name: "R_X86_64_TLSLD", Kind: SlotModuleBase, Size: 4, Signed: true, Before: 3, After: 10},
		uint32(elf.R_X86_64_DTPOFF32): {Name: "R_X86_64_DTPOFF32", Kind: ModuleOffset, Size: 4, Signed: true, After: 4},
		uint32(elf.R_X86_64_DTPOFF64): {Name: "R_X86_64_DTPOFF64", Kind: ModuleOffset, Size: 8, Signed: true, After: 8},
	},
	JumpSize:  5,
	JumpReach: math.MaxInt32,
	StubSize:  6,
	// mov %rax, %rbx; mov $15, %eax; syscall
	Return:           []byte{0x48, 0x89, 0xc3, 0xb8, 15, 0, 0, 0, 0x0f, 0x05},
	SampledRegisters: 1<<7 | 1<<8,
	FinderSize:       60,
	entryOffset:      amd64EntryOffset,
	jump:             amd64Jump,
	stub:             amd64Stub,
	finder:           amd64Finder,
	isBranch:         amd64IsBranch,
	length:           amd64Length,
	padding:          amd64Padding,
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

// amd64Finder encodes
//
//		endbr64
//		lea  table(%rip), %rax
//	again:	mov  (%rax), %rdx
//		test %rdx, %rdx
//		je   others
//		cmp  %rdx, %rdi
//		jb   next
//		cmp  8(%rax), %rdi
//		jb   found
//	next:	add  $24, %rax
//		jmp  again
//	found:	xor  %ecx, %ecx
//		mov  %rcx, (%rsi)        bases->tbase
//		mov  %rcx, 8(%rsi)       bases->dbase
//		mov  %rdx, 16(%rsi)      bases->func
//		mov  16(%rax), %rax
//		ret
//	others:	jmp  *previous(%rip)
//
// struct dwarf_eh_bases is in GCC's unwind-dw2-fde.h.
func amd64Finder(at, table, previous uint64) ([]byte, error) {
	code := []byte{
		0xf3, 0x0f, 0x1e, 0xfa,
		0x48, 0x8d, 0x05, 0, 0, 0, 0,
		0x48, 0x8b, 0x10,
		0x48, 0x85, 0xd2,
		0x74, 0x23,
		0x48, 0x39, 0xd7,
		0x72, 0x06,
		0x48, 0x3b, 0x78, 0x08,
		0x72, 0x06,
		0x48, 0x83, 0xc0, 0x18,
		0xeb, 0xe7,
		0x31, 0xc9,
		0x48, 0x89, 0x0e,
		0x48, 0x89, 0x4e, 0x08,
		0x48, 0x89, 0x56, 0x10,
		0x48, 0x8b, 0x40, 0x10,
		0xc3,
	}
	rel, err := rel32(at+11, table)
	if err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint32(code[7:], rel)
	others, err := amd64Stub(at+uint64(len(code)), previous)
	return append(code, others...), err
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

// longestFill is the longest no-operation that GNU as and lld fill with:
// data16 prefixes before cs nopw 0x0(%rax,%rax,1).
var longestFill = []byte{0x66, 0x66, 0x66, 0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}

// amd64Padding knows the no-operations of GNU as, int3 and zeros. The last may
// be cut short.
func amd64Padding(code []byte) bool {
	fills := [][]byte{
		{0x90}, {0x66, 0x90}, {0x0f, 0x1f, 0x00}, {0x0f, 0x1f, 0x40, 0}, {0x0f, 0x1f, 0x44, 0, 0}, {0x66, 0x0f, 0x1f, 0x44, 0, 0},
		{0x0f, 0x1f, 0x80, 0, 0, 0, 0}, {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}, {0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}, {0xcc}, {0},
	}
	for i := range 5 {
		fills = append(fills, longestFill[i:])
	}
	slices.SortFunc(fills, func(a, b []byte) int { return len(b) - len(a) })
	for len(code) > 0 {
		i := slices.IndexFunc(fills, func(fill []byte) bool {
			n := min(len(fill), len(code))
			return bytes.Equal(fill[:n], code[:n])
		})
		if i < 0 {
			return false
		}
		code = code[min(len(fills[i]), len(code)):]
	}
	return true
}
