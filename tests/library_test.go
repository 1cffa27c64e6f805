package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/live"
)

// A shared library of ours and the fix for it.
type library struct {
	dir, path, object string
	flags             []string
}

func newLibrary(t *testing.T, flags ...string) *library {
	t.Helper()
	lib := &library{dir: t.TempDir(), flags: flags}
	compile := func(output string, args ...string) string {
		path := filepath.Join(lib.dir, output)
		tool(t, "gcc", append(append([]string{"-g", "-pthread", "-fPIC", "testdata/answers.c", "-o", path}, flags...), args...)...)
		return path
	}
	lib.path = compile("libanswers.so.1", "-shared", "-Wl,--version-script=testdata/answers.map", "-Wl,-soname,libanswers.so.1", "-Wl,--build-id", "-Wl,--no-as-needed", "-lm")
	require.NoError(t, os.Symlink("libanswers.so.1", filepath.Join(lib.dir, "libanswers.so")))
	sections := []string{"-c", "-ffunction-sections", "-fdata-sections"}
	lib.object = filepath.Join(lib.dir, "patch.o")
	must(t, "diff", "--original", compile("original.o", sections...), "--patched", compile("patched.o", append(sections, "-DPATCHED")...),
		"--debuginfo", lib.path, "--output", lib.object)
	return lib
}

// linked starts a program that is linked to the library.
func (lib *library) linked(t *testing.T, flags ...string) *live.Process {
	t.Helper()
	program := filepath.Join(t.TempDir(), "asks")
	tool(t, "gcc", append([]string{"-g", "-pthread", "-DLINKED", "testdata/asks.c", "-o", program, "-L" + lib.dir, "-lanswers", "-Wl,-rpath," + lib.dir}, flags...)...)
	return live.Start(t, exec.Command(program))
}

// loaded starts a program that loads the library with dlopen.
func (lib *library) loaded(t *testing.T, path string) *live.Process {
	t.Helper()
	program := filepath.Join(t.TempDir(), "asks")
	tool(t, "gcc", "-g", "-pthread", "testdata/asks.c", "-o", program)
	return live.Start(t, exec.Command(program, path))
}

// answersOf are what a program says before and after the fix. The numbers that
// count are looked at in differences.
var libraryAnswers = []struct{ question, before, after string }{
	{"calls", "406", "100406"},
	{"libc", "120", "400"},
	{"versioned", "2", "102"},
	{"output", "flawed", "fixed"},
}

// fixes applies the patch to the program, looks at what it says, and takes the
// patch out again.
func (lib *library) fixes(t *testing.T, l *live.Process, interposed bool) {
	t.Helper()
	for range 2 {
		for _, a := range libraryAnswers {
			if interposed && a.question == "calls" {
				a.before, a.after = "806", "100806"
			}
			require.Equal(t, a.before, l.Ask(a.question), a.question)
		}
		pointer := l.Ask("pointer") // of a function: the same inside and outside, if it ever was
		state, threads, second := l.Number("state"), l.Number("threads"), l.Number("second")
		must(t, "apply", "--object", lib.object, "--pid", l.PID)
		for _, a := range libraryAnswers {
			if interposed && a.question == "calls" {
				a.before, a.after = "806", "100806"
			}
			require.Equal(t, a.after, l.Ask(a.question), a.question)
		}
		require.Equal(t, pointer, l.Ask("pointer"))
		require.Equal(t, state+10101+100000000, l.Number("state"), "the library's data keep their values")
		require.Equal(t, threads+10101+1000000, l.Number("threads"), "and those of its threads")
		require.Equal(t, second+10101+1000000, l.Number("second"), "each of them")
		must(t, "remove", "--object", lib.object, "--pid", l.PID)
		require.Equal(t, state+2*10101, l.Number("state"))
		require.Equal(t, second+2*10101, l.Number("second"))
	}
}

func TestSharedLibraries(t *testing.T) {
	for _, flags := range [][]string{
		{"-O2"}, {"-O0"}, {"-O2", "-fno-plt", "-Wl,-z,now"}, {"-O2", "-fcf-protection=full", "-Wl,-z,lazy"},
		{"-O2", "-ftls-model=initial-exec"}, {"-O2", "-fvisibility=hidden"}, {"-O2", "-Wl,-Bsymbolic-functions"},
		{"-O2", "-Wl,-Ttext-segment=0x41000000"}, // as prelink leaves it: made for an address
	} {
		t.Run(strings.ReplaceAll(strings.Join(flags, " "), ",", " "), func(t *testing.T) {
			lib := newLibrary(t, flags...)
			t.Run("linked", func(t *testing.T) { lib.fixes(t, lib.linked(t), false) })
			t.Run("linked with copy relocations", func(t *testing.T) {
				l := lib.linked(t, "-fno-pie", "-no-pie")
				lib.fixes(t, l, false)
				require.Equal(t, l.Number("state")%100, l.Number("exported"), "one variable for the program and the library")
			})
			t.Run("bound lazily", func(t *testing.T) { lib.fixes(t, lib.linked(t, "-Wl,-z,lazy"), false) })
			t.Run("loaded", func(t *testing.T) { lib.fixes(t, lib.loaded(t, lib.path), false) })
			if flags[len(flags)-1] != "-Wl,-Bsymbolic-functions" {
				t.Run("interposed", func(t *testing.T) { lib.fixes(t, lib.linked(t, "-DINTERPOSES"), true) })
			}
		})
	}
}
