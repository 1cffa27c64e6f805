package front

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for name, row := range map[string]struct {
		tool string
		args []string
		want Command
	}{
		"compile": {"gcc", []string{"-O2", "-c", "a.c", "-o", "x/a.o"}, Command{
			Kind: Compile, Output: "x/a.o", Operands: map[int]int{2: 0},
			Sources: []Source{{Path: "a.c", Language: LanguageC, Output: "x/a.o"}},
		}},
		"two sources": {"x86_64-linux-gnu-g++-12", []string{"-c", "d/a.cc", "b.cpp"}, Command{
			Kind: Compile, Operands: map[int]int{1: 0, 2: 1},
			Sources: []Source{{Path: "d/a.cc", Language: LanguageCXX, Output: "a.o"}, {Path: "b.cpp", Language: LanguageCXX, Output: "b.o"}},
		}},
		"language by option": {"cc", []string{"-xc", "-c", "strange", "-MMD", "-MF", "deps"}, Command{
			Kind: Compile, Operands: map[int]int{2: 0}, Deps: userDeps, DepFile: "deps",
			Sources: []Source{{Path: "strange", Language: LanguageC, Output: "strange.o"}},
		}},
		"dependencies for the preprocessor": {"gcc", []string{"-Wp,-MD,.a.d", "-c", "a.c", "-o", "a.o"}, Command{
			Kind: Compile, Output: "a.o", Operands: map[int]int{2: 0}, Deps: allDeps, DepFile: ".a.d",
			Sources: []Source{{Path: "a.c", Language: LanguageC, Output: "a.o"}},
		}},
		"link": {"gcc", []string{"-o", "prog", "a.o", "lib.a", "-L", "d", "-lm", "-Wl,-z,now"}, Command{
			Kind: Link, Output: "prog", Objects: []string{"a.o", "lib.a"}, LibDirs: []string{"d"}, Libs: []string{"m"}, Operands: map[int]int{},
		}},
		"linker":          {"ld.gold", []string{"-r", "-o", "all.o", "a.o"}, Command{Kind: Link, Output: "all.o", Objects: []string{"a.o"}}},
		"assembler":       {"as", []string{"--64", "-o", "a.o", "a.s"}, Command{Kind: Compile, Output: "a.o", Operands: map[int]int{3: 0}, Sources: []Source{{Path: "a.s", Language: LanguageAssembler, Output: "a.o"}}}},
		"objcopy":         {"objcopy", []string{"-O", "binary", "a.o", "b"}, Command{Kind: Transform, Objects: []string{"a.o", "b"}}},
		"version":         {"clang-14", []string{"--version"}, Command{}},
		"dependency scan": {"gcc", []string{"-M", "a.c"}, Command{}},
		"another tool":    {"ar", []string{"cr", "x.a", "a.o"}, Command{}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, row.want, Parse(row.tool, row.args)) })
	}
}

// What the compiler writes is read back, whatever the names.
func TestRulesOfTheCompiler(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"plain.h", "with blank.h", "with#hash.h", "with$dollar.h"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	source := filepath.Join(dir, "a.c")
	require.NoError(t, os.WriteFile(source, []byte("#include \"plain.h\"\n#include \"with blank.h\"\n#include \"with#hash.h\"\n#include \"with$dollar.h\"\n"), 0o600))
	cmd := exec.Command("gcc", "-c", "a.c", "-o", "a.o", "-MMD", "-MF", "a.d")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	names, err := ReadRules(filepath.Join(dir, "a.d"))
	require.NoError(t, err)
	require.Equal(t, []string{"a.c", "plain.h", "with blank.h", "with#hash.h", "with$dollar.h"}, names)
}

// Members of archives that ar made, long names and thin ones included.
func TestArchives(t *testing.T) {
	for _, flags := range []string{"crs", "crsT"} {
		t.Run(flags, func(t *testing.T) {
			dir := t.TempDir()
			var names []string
			for i, name := range []string{"a.o", "a_member_with_a_rather_long_name.o", "b.o"} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte{byte(i)}, 5+i), 0o600))
				names = append(names, name)
			}
			cmd := exec.Command("ar", append([]string{flags, "x.a"}, names...)...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			f, err := os.Open(filepath.Join(dir, "x.a"))
			require.NoError(t, err)
			defer f.Close()
			info, err := f.Stat()
			require.NoError(t, err)
			members, err := readArchive(f, info.Size(), dir, flags == "crsT")
			require.NoError(t, err)
			require.Len(t, members, len(names))
			for i, m := range members {
				want, err := Digest(filepath.Join(dir, names[i]))
				require.NoError(t, err)
				require.Equal(t, want, m.Digest, m.Name)
				require.Equal(t, names[i], filepath.Base(m.Name))
			}
		})
	}
}

func TestResponseFiles(t *testing.T) {
	dir := t.TempDir()
	inner, outer := filepath.Join(dir, "inner"), filepath.Join(dir, "outer")
	require.NoError(t, os.WriteFile(inner, []byte(`-DX="a b" 'c d' e\ f`), 0o600))
	require.NoError(t, os.WriteFile(outer, []byte("-c @"+inner+"\n"), 0o600))
	words, err := expand([]string{"@" + outer, "@absent", "@"}, 0)
	require.NoError(t, err)
	require.Equal(t, []string{"-c", "-DX=a b", "c d", "e f", "@absent", "@"}, words)

	loop := filepath.Join(dir, "loop")
	require.NoError(t, os.WriteFile(loop, []byte("@"+loop), 0o600))
	_, err = expand([]string{"@" + loop}, 0)
	require.ErrorContains(t, err, "files deep")
}

func FuzzArchive(f *testing.F) {
	f.Add([]byte("!<arch>\n"+fmt.Sprintf("%-48s%-10d`\n", "a.o/", 4)+"abcd"), false)
	f.Add([]byte("!<arch>\n"+fmt.Sprintf("%-48s%-10d`\n", "//", 4)+"abc\n"), true)
	f.Fuzz(func(_ *testing.T, data []byte, thin bool) {
		_, _ = readArchive(bytes.NewReader(data), int64(len(data)), "/nonexistent", thin)
	})
}

func FuzzWords(f *testing.F) {
	f.Add("a.o: a.c \\\n b\\ c.h $$x\n")
	f.Add(`-D"a b" \`)
	f.Fuzz(func(_ *testing.T, text string) {
		parseRules(text)
		words := splitWords(text)
		for _, tool := range []string{"gcc", "ld", "as", "strip"} {
			Parse(tool, words)
		}
	})
}
