package object

import (
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The debug information of packages is often shared between their files: the
// strings are in a file of their own.
func TestSharedDebugInformation(t *testing.T) {
	if _, err := exec.LookPath("dwz"); err != nil && os.Getenv("CI") == "" {
		t.Skip("needs dwz")
	}
	first := compile(t, program, "-g", "-Wl,--build-id")
	second := compile(t, program+"\nint more(void) { return next(); }", "-g", "-Wl,--build-id")
	shared := filepath.Join(filepath.Dir(first), "shared")
	out, err := exec.Command("dwz", "-m", shared, "-M", "shared", first, second).CombinedOutput()
	require.NoError(t, err, "%s", out)

	producer := func() (string, error) {
		f, err := Open(first)
		require.NoError(t, err)
		defer f.Close()
		data, err := f.DWARF()
		require.NoError(t, err)
		for reader := data.Reader(); ; reader.SkipChildren() {
			entry, err := reader.Next()
			require.NoError(t, err)
			require.NotNil(t, entry, "a compile unit")
			if entry.Tag == dwarf.TagCompileUnit {
				_, here := entry.Val(dwarf.AttrProducer).(string)
				require.False(t, here, "dwz has moved it away")
				return f.Text(entry, dwarf.AttrProducer)
			}
		}
	}
	text, err := producer()
	require.NoError(t, err)
	require.Contains(t, text, "GNU C17")

	other, err := os.ReadFile(second)
	require.NoError(t, err)
	for _, row := range []struct {
		name, want string
		spoil      func() error
	}{
		{"of another build", "give debuginfo packages of the same build", func() error { return os.WriteFile(shared, other, 0o600) }},
		{"no ELF file", ErrNotELF.Error(), func() error { return os.WriteFile(shared, []byte("#!/bin/sh"), 0o600) }},
		{"not there", "give the debuginfo package that contains it", func() error { return os.Remove(shared) }},
		{"no file", "give the debuginfo package that contains it", func() error { return os.Mkdir(shared, 0o700) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.NoError(t, row.spoil())
			_, err := producer()
			require.ErrorContains(t, err, row.want)
		})
	}
}

// An object of more sections than a symbol's index can tell has its debug
// information read rightly.
func TestDebugInformationOfManySections(t *testing.T) {
	var text strings.Builder
	for i := range 33_000 {
		fmt.Fprintf(&text, "int variable%d = %d; int other%d;\n", i, i+1, i)
	}
	text.WriteString("struct last { int member; } object;\n")
	f, err := Open(compile(t, text.String(), "-g", "-c", "-fdata-sections"))
	require.NoError(t, err)
	defer f.Close()
	require.Greater(t, len(f.Sections), int(elf.SHN_LORESERVE))
	data, err := f.DWARF()
	require.NoError(t, err)
	names := map[string]bool{}
	for reader := data.Reader(); ; {
		entry, err := reader.Next()
		require.NoError(t, err)
		if entry == nil {
			break
		}
		if name, ok := entry.Val(dwarf.AttrName).(string); ok {
			names[name] = true
		}
	}
	require.True(t, names["variable32999"] && names["other0"] && names["last"] && names["member"])
}
