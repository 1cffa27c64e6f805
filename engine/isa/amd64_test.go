package isa

import (
	"debug/elf"
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJump(t *testing.T) {
	for _, row := range []struct {
		name     string
		from, to uint64
		code     []byte
	}{
		{"forwards", 0x1000, 0x2000, []byte{0xe9, 0xfb, 0x0f, 0, 0}},
		{"backwards", 0x2000, 0x1000, []byte{0xe9, 0xfb, 0xef, 0xff, 0xff}},
		{"as far as it reaches", 0x1000, 0x1005 + math.MaxInt32, []byte{0xe9, 0xff, 0xff, 0xff, 0x7f}},
		{"too far", 0x1000, 0x1006 + math.MaxInt32, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			code, err := AMD64.Jump(row.from, row.to)
			if row.code == nil {
				require.ErrorIs(t, err, ErrRange)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.code, code)
			require.Len(t, code, AMD64.JumpSize)
		})
	}
}

func TestStub(t *testing.T) {
	code, err := AMD64.Stub(0x1000, 0x1100)
	require.NoError(t, err)
	require.Equal(t, []byte{0xff, 0x25, 0xfa, 0, 0, 0}, code)
	require.Len(t, code, AMD64.StubSize)
}

func TestStoredValuesFit(t *testing.T) {
	for _, row := range []struct {
		typ   elf.R_X86_64
		value int64
		ok    bool
	}{
		{elf.R_X86_64_32, math.MaxUint32, true},
		{elf.R_X86_64_32, -1, false},
		{elf.R_X86_64_32S, -1, true},
		{elf.R_X86_64_32S, math.MaxInt32 + 1, false},
		{elf.R_X86_64_PC32, math.MinInt32, true},
		{elf.R_X86_64_PC32, math.MinInt32 - 1, false},
		{elf.R_X86_64_64, math.MinInt64, true},
	} {
		typ, err := AMD64.Reloc(uint32(row.typ))
		require.NoError(t, err)
		code := make([]byte, 16)
		err = typ.Store(code, 4, row.value)
		require.Equal(t, row.ok, err == nil, "%v of %#x", row.typ, row.value)
		if row.ok && typ.Size == 4 {
			require.Equal(t, uint32(row.value), binary.LittleEndian.Uint32(code[4:]))
		}
		require.ErrorIs(t, typ.Store(code, 13, 0), ErrRange, "beyond the end")
		require.ErrorIs(t, typ.Store(code, math.MaxUint64, 0), ErrRange, "far beyond the end")
	}
}

func TestUnknownRelocationsDoNotExist(t *testing.T) {
	for _, typ := range []elf.R_X86_64{elf.R_X86_64_GOTPC32_TLSDESC, elf.R_X86_64_GOTOFF64, elf.R_X86_64_PC8, 200} {
		_, err := AMD64.Reloc(uint32(typ))
		require.ErrorIs(t, err, ErrUnsupported)
	}
	_, err := ForMachine(elf.EM_386)
	require.ErrorIs(t, err, ErrUnsupported)
}

func TestBranches(t *testing.T) {
	for _, row := range []struct {
		name   string
		code   []byte // up to the field
		typ    elf.R_X86_64
		branch bool
	}{
		{"call", []byte{0xe8}, elf.R_X86_64_PC32, true},
		{"jmp", []byte{0xe9}, elf.R_X86_64_PC32, true},
		{"jne", []byte{0x0f, 0x85}, elf.R_X86_64_PC32, true},
		{"lea", []byte{0x48, 0x8d, 0x3d}, elf.R_X86_64_PC32, false},
		{"call through a slot", []byte{0xff, 0x15}, elf.R_X86_64_GOTPCRELX, true},
		{"load of a slot", []byte{0x48, 0x8b, 0x05}, elf.R_X86_64_REX_GOTPCRELX, false},
		{"stored address", nil, elf.R_X86_64_64, false},
	} {
		code := append(append([]byte{}, row.code...), 0, 0, 0, 0)
		require.Equal(t, row.branch, AMD64.IsBranch(code, uint64(len(row.code)), uint32(row.typ)), row.name)
	}
	require.False(t, AMD64.IsBranch(nil, 9, uint32(elf.R_X86_64_PC32)))
}

func TestEntryAndLength(t *testing.T) {
	landing := []byte{0xf3, 0x0f, 0x1e, 0xfa, 0x55}
	require.Equal(t, 4, AMD64.EntryOffset(landing))
	require.Zero(t, AMD64.EntryOffset(landing[4:]))
	n, err := AMD64.InstructionLength(landing)
	require.NoError(t, err)
	require.Equal(t, 4, n)
	n, err = AMD64.InstructionLength([]byte{0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0x90})
	require.NoError(t, err)
	require.Equal(t, 7, n)
	_, err = AMD64.InstructionLength(nil)
	require.Error(t, err)
}

func TestPadding(t *testing.T) {
	for _, row := range []struct {
		name string
		code []byte
		want bool
	}{
		{"nothing", nil, true},
		{"nop", []byte{0x90, 0x90}, true},
		{"long ones", []byte{0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0x0f, 0x1f, 0x40, 0}, true},
		{"cut short", []byte{0x66, 0x2e, 0x0f, 0x1f, 0x84}, true},
		{"breakpoints", []byte{0xcc, 0xcc, 0xcc}, true},
		{"xchg %ax, %ax with another register", []byte{0x66, 0x93}, false},
		{"return", []byte{0xc3}, false},
		{"nop, then code", []byte{0x90, 0x55, 0x48}, false},
		{"landing pad", []byte{0xf3, 0x0f, 0x1e}, false},
	} {
		t.Run(row.name, func(t *testing.T) { require.Equal(t, row.want, AMD64.IsPadding(row.code)) })
	}
}
