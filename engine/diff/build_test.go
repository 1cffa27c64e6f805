package diff

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
)

// source is one C file of a test program; its fix is compiled with -DPATCHED.
type source struct{ path, text string }

// testdata returns a file of this package's testdata.
func testdata(name string) source { return source{path: filepath.Join("testdata", name)} }

// compile runs gcc and returns the output's path.
func compile(t testing.TB, dir, output string, args ...string) string {
	t.Helper()
	path := filepath.Join(dir, output)
	run(t, "gcc", append(args, "-o", path)...)
	return path
}

// open reads an ELF file wholly into memory.
func open(t testing.TB, path string) *object.File {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	f, err := object.Read(bytes.NewReader(data))
	require.NoError(t, err)
	return f
}

const testUUID = "980fa0d0-e753-447c-8494-01de595f35d0"

func newReader(data []byte) *bytes.Reader { return bytes.NewReader(data) }

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %v\n%s", name, args, out)
}

// diffed is diffedIn a directory of its own.
func diffed(t testing.TB, flags []string, debuginfo bool, opt Options, sources ...source) (*Result, *patchobject.Object, error) {
	t.Helper()
	return diffedIn(t, t.TempDir(), flags, debuginfo, opt, sources...)
}

// diffedIn compiles a program from sources, and each of them as original and
// patched object, and builds the patch object. debuginfo strips the target to
// debuginfo, as distributions ship it.
func diffedIn(t testing.TB, dir string, flags []string, debuginfo bool, opt Options, sources ...source) (*Result, *patchobject.Object, error) {
	t.Helper()
	var recorded []string
	var units []Unit
	for i, s := range sources {
		path := s.path
		if s.text != "" {
			path = filepath.Join(dir, s.path)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, []byte(s.text), 0o644))
		}
		name := string(rune('a' + i))
		base := append([]string{"-g", "-c", path}, flags...)
		sections := append(base, "-ffunction-sections", "-fdata-sections", "-fno-common")
		recorded = append(recorded, compile(t, dir, name+".o", base...))
		units = append(units, Unit{
			Source:   s.path,
			Original: open(t, compile(t, dir, name+".original.o", sections...)),
			Patched:  open(t, compile(t, dir, name+".patched.o", append(sections, "-DPATCHED")...)),
			Recorded: open(t, recorded[i]),
		})
	}
	link := append(append([]string{"-Wl,--build-id"}, flags...), recorded...)
	if strings.HasSuffix(sources[0].path, ".cc") {
		link = append(link, "-lstdc++")
	}
	program := compile(t, dir, "program", link...)
	if debuginfo {
		run(t, "objcopy", "--only-keep-debug", program, program+".debug")
		program += ".debug"
	}
	opt.UUID, opt.Entity = testUUID, "program"
	result, err := Build(open(t, program), units, opt)
	if err != nil {
		return nil, nil, err
	}
	obj, err := patchobject.Parse(result.Object)
	require.NoError(t, err)
	if dump := os.Getenv("SYSCARE_DUMP_PATCH_OBJECT"); dump != "" {
		require.NoError(t, os.WriteFile(dump, result.Object, 0o644))
	}
	return result, obj, nil
}

func TestChangedBodiesAreReplaced(t *testing.T) {
	for _, optimise := range []string{"-O0", "-O2", "-O3", "-Os"} {
		for _, mode := range [][]string{{"-fPIE", "-pie"}, {"-fno-pie", "-no-pie"}} {
			for _, protection := range []string{"none", "full"} {
				flags := append([]string{optimise, "-fcf-protection=" + protection}, mode...)
				t.Run(optimise+mode[0]+" "+protection, func(t *testing.T) {
					t.Parallel()
					result, obj, err := diffed(t, flags, true, Options{}, testdata("body.c"))
					require.NoError(t, err)
					require.ElementsMatch(t, []string{"choose", "address_of_choose", "address_of_free", "standard_error"}, result.Functions)

					require.Equal(t, patchobject.BindTarget, obj.Binds["choose@target"].Kind, "a stored address stays the old entry")
					require.Equal(t, patchobject.BindTLS, obj.Binds["thread_counter"].Kind)
					require.Equal(t, patchobject.BindTarget, obj.Binds["table"].Kind)
					require.Equal(t, patchobject.BindTarget, obj.Binds["global_counter"].Kind)
					require.Equal(t, patchobject.BindDynamic, obj.Binds["free"].Kind)
					require.Equal(t, patchobject.BindTarget, obj.Binds["stderr"].Kind, "copied into the executable by the linker")
					require.Contains(t, obj.Symbols, "added")
					require.Contains(t, obj.Symbols, "added_state")
					require.NotContains(t, obj.Symbols, "helper", "unchanged code stays where it is")
					require.NotContains(t, obj.Binds, "main")
				})
			}
		}
	}
}

// -fpatchable-function-entry lists every function in a section that no code
// refers to: neither a change nor a part of the patch.
func TestListsOfPatchableEntriesAreLeftOut(t *testing.T) {
	for _, optimise := range []string{"-O0", "-O2"} {
		t.Run(optimise, func(t *testing.T) {
			t.Parallel()
			result, obj, err := diffed(t, []string{optimise, "-fpatchable-function-entry=5"}, true, Options{}, source{"program.c", `
				__attribute__((noinline)) int one(int x) { return x + 1; }
				#ifdef PATCHED
				__attribute__((noinline)) static int added(int x) { return x * 3; }
				#else
				#define added(x) (x)
				#endif
				__attribute__((noinline)) int two(int x) { return one(added(x)); }
				int main(int argc, char **argv) { return two(argc); }`})
			require.NoError(t, err)
			require.Equal(t, []string{"two"}, result.Functions)
			require.Contains(t, obj.Symbols, "added")
			for _, section := range obj.Sections {
				require.NotEqual(t, patchableEntries, section.Name)
			}
		})
	}
}
