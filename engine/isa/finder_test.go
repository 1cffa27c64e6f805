package isa

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The finder is what the assembler makes of its listing.
func TestFinderIsItsListing(t *testing.T) {
	dir := t.TempDir()
	source, program := filepath.Join(dir, "finder.s"), filepath.Join(dir, "finder")
	require.NoError(t, os.WriteFile(source, []byte(`
		.text
		.globl _start
	_start:	endbr64
		lea  table(%rip), %rax
	again:	mov  (%rax), %rdx
		test %rdx, %rdx
		je   others
		cmp  %rdx, %rdi
		jb   next
		cmp  8(%rax), %rdi
		jb   found
	next:	add  $24, %rax
		jmp  again
	found:	xor  %ecx, %ecx
		mov  %rcx, (%rsi)
		mov  %rcx, 8(%rsi)
		mov  %rdx, 16(%rsi)
		mov  16(%rax), %rax
		ret
	others:	jmp  *previous(%rip)
	previous: .quad 0
	table:	.quad 0
	`), 0o600))
	out, err := exec.Command("gcc", "-nostdlib", "-static", "-o", program, source).CombinedOutput()
	require.NoError(t, err, string(out))
	f, err := elf.Open(program)
	require.NoError(t, err)
	defer f.Close()
	text := f.Section(".text")
	want, err := text.Data()
	require.NoError(t, err)
	symbols, err := f.Symbols()
	require.NoError(t, err)
	at := map[string]uint64{}
	for _, s := range symbols {
		at[s.Name] = s.Value
	}
	code, err := AMD64.Finder(at["_start"], at["table"], at["previous"])
	require.NoError(t, err)
	require.Equal(t, want[:len(code)], code)
	require.Len(t, code, AMD64.FinderSize)
	_, err = AMD64.Finder(0, 1<<40, 0)
	require.ErrorIs(t, err, ErrRange)
}
