package object

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// compile runs gcc on C text and returns the file made.
func compile(t testing.TB, text string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	source, output := filepath.Join(dir, "unit.c"), filepath.Join(dir, "output")
	require.NoError(t, os.WriteFile(source, []byte(text), 0o644))
	out, err := exec.Command("gcc", append(args, source, "-o", output)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return output
}

const program = `
#include <stdio.h>
static int counter = 3;
static int next(void) { return counter++; }
int main(void) { fprintf(stderr, "%d\n", next()); return 0; }`

func symbol(t *testing.T, symbols []*Symbol, name string) *Symbol {
	t.Helper()
	for _, s := range symbols {
		if s.Name == name {
			return s
		}
	}
	require.Fail(t, "no symbol "+name)
	return nil
}

func TestReadObject(t *testing.T) {
	f, err := Open(compile(t, program, "-c", "-O0", "-ffunction-sections"))
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, elf.ET_REL, f.Type)
	next := symbol(t, f.Symbols, "next")
	require.Equal(t, ".text.next", next.Section.Name)
	require.Equal(t, "unit.c", next.File)
	relocs, err := f.Relocs(symbol(t, f.Symbols, "main").Section)
	require.NoError(t, err)
	require.NotEmpty(t, relocs)
}

func TestReadProgram(t *testing.T) {
	path := compile(t, program, "-no-pie", "-Wl,--build-id=0x"+strings.Repeat("ab", 20))
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, BuildID(strings.Repeat("ab", 20)), f.BuildID)
	standardError := symbol(t, f.Symbols, "stderr")
	require.True(t, standardError.Defined(), "copied from the library")
	require.Equal(t, "GLIBC_2.2.5", standardError.Version)
	require.Equal(t, "stderr@GLIBC_2.2.5", standardError.FullName())
	require.Equal(t, "GLIBC_2.2.5", symbol(t, f.Dynamic, "fprintf").Version)
}

func TestBuildIDsAreChecked(t *testing.T) {
	for text, ok := range map[string]bool{"ABcd": true, "": false, "abc": false, "xy": false, strings.Repeat("a", 130): false} {
		id, err := ParseBuildID(text)
		require.Equal(t, ok, err == nil, text)
		if ok {
			require.Equal(t, BuildID(strings.ToLower(text)), id)
		}
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	b := NewBuilder(elf.EM_X86_64)
	text := b.AddSection(&BuildSection{Name: ".text.f", Type: elf.SHT_PROGBITS, Flags: elf.SHF_ALLOC | elf.SHF_EXECINSTR, Align: 16, Data: []byte{0xe8, 0, 0, 0, 0, 0xc3}})
	b.AddSection(&BuildSection{Name: ".bss.x", Type: elf.SHT_NOBITS, Flags: elf.SHF_ALLOC | elf.SHF_WRITE, Align: 8, Size: 4096})
	outside := b.AddSymbol(&BuildSymbol{Name: "outside", Bind: elf.STB_GLOBAL})
	b.AddSymbol(&BuildSymbol{Name: "f", Section: text, Size: 6, Bind: elf.STB_LOCAL, Type: elf.STT_FUNC})
	text.Relocs = []BuildReloc{{Offset: 1, Type: uint32(elf.R_X86_64_PLT32), Symbol: outside, Addend: -4}}
	data, err := b.Bytes()
	require.NoError(t, err)

	f, err := Read(bytes.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, uint64(4096), f.Section(".bss.x").Size)
	contents, err := f.Section(".text.f").Bytes()
	require.NoError(t, err)
	require.Equal(t, text.Data, contents)
	relocs, err := f.Relocs(f.Section(".text.f"))
	require.NoError(t, err)
	require.Len(t, relocs, 1)
	require.Equal(t, "outside", relocs[0].Symbol.Name)
	require.Equal(t, int64(-4), relocs[0].Addend)
	require.Equal(t, f.Section(".text.f"), symbol(t, f.Symbols, "f").Section)

	path := filepath.Join(t.TempDir(), "out.o")
	require.NoError(t, os.WriteFile(path, data, 0o644))
	out, err := exec.Command("readelf", "-aW", path).CombinedOutput()
	require.NoError(t, err)
	require.NotContains(t, string(out), "Warning")
	require.NotContains(t, string(out), "Error")
}

// FuzzRead shows that no file makes reading panic, loop or exhaust memory.
func FuzzRead(f *testing.F) {
	for _, args := range [][]string{{"-c"}, {"-no-pie"}} {
		data, err := os.ReadFile(compile(f, program, args...))
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		file, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, s := range file.Sections {
			_, _ = s.Bytes()
			_, _ = file.Relocs(s)
		}
	})
}
