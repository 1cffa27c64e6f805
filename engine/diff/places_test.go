package diff

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
)

func oldAddresses(obj *patchobject.Object) map[string]object.Address {
	addresses := map[string]object.Address{}
	for _, f := range obj.Funcs {
		addresses[f.Name] = f.OldAddress
	}
	return addresses
}

// Two sources of the same name have a static function of the same name, size
// and contents. Only the one that the fix touches may be replaced.
func TestSameNamedStaticFunctions(t *testing.T) {
	unit := func(dir, marker, fix string) source {
		return source{filepath.Join(dir, "util.c"), `
			static int state;
			__attribute__((noinline)) static int check(int x) { state += x;` + fix + ` return state & 7; }
			int ` + marker + `(int x) { return check(x) + 1; }`}
	}
	const fix = "\n#ifdef PATCHED\nif (x > 5) return -1;\n#endif\n"
	main := source{"main.c", "int in_a(int), in_b(int); int main(int argc, char **argv) { return in_a(argc) + in_b(argc); }"}

	for _, row := range []struct {
		name   string
		a, b   source
		marker string // the function that follows the right "check" in the target
	}{
		{name: "the first", a: unit("a", "in_a", fix), b: unit("b", "in_b", ""), marker: "in_a"},
		{name: "the second", a: unit("a", "in_a", ""), b: unit("b", "in_b", fix), marker: "in_b"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			_, obj, err := diffedIn(t, dir, []string{"-O2"}, true, Options{}, row.a, row.b, main)
			require.NoError(t, err)
			target := open(t, filepath.Join(dir, "program.debug"))
			distance := map[string]uint64{}
			for _, s := range target.Symbols {
				if s.Name == row.marker {
					distance[s.Name] = s.Value - uint64(oldAddresses(obj)["check"])
				}
			}
			require.Less(t, distance[row.marker], uint64(64), "check lies just before %s", row.marker)
		})
	}

	t.Run("with debug information that another program shares", func(t *testing.T) {
		t.Parallel()
		if _, err := exec.LookPath("dwz"); err != nil && os.Getenv("CI") == "" {
			t.Skip("needs dwz")
		}
		dir := t.TempDir()
		_, _, err := diffedIn(t, dir, []string{"-O2"}, true, Options{}, unit("a", "in_a", fix), unit("b", "in_b", ""), main)
		require.NoError(t, err)
		program := filepath.Join(dir, "program.debug")
		other := compile(t, dir, "other", "-g", "-O2", "-Wl,--build-id", filepath.Join(dir, "a/util.c"), filepath.Join(dir, "b/util.c"), filepath.Join(dir, "main.c"))
		run(t, "dwz", "-m", filepath.Join(dir, "shared"), "-M", "shared", program, other)
		target, err := object.Open(program)
		require.NoError(t, err)
		defer target.Close()
		require.NotNil(t, target.Section(".gnu_debugaltlink"))
		units := []Unit{{
			Source:   "a/util.c",
			Original: open(t, filepath.Join(dir, "a.original.o")), Patched: open(t, filepath.Join(dir, "a.patched.o")),
		}}
		_, err = Build(target, units, Options{UUID: testUUID})
		require.NoError(t, err)
		require.NoError(t, os.Rename(filepath.Join(dir, "shared"), filepath.Join(dir, "elsewhere")))
		bereft, err := object.Open(program)
		require.NoError(t, err)
		defer bereft.Close()
		_, err = Build(bereft, units, Options{UUID: testUUID})
		require.ErrorContains(t, err, "give the debuginfo package that contains it", "it is refused, not guessed")
	})

	t.Run("without debug information nothing tells them apart", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		_, _, err := diffedIn(t, dir, []string{"-O2"}, true, Options{}, unit("a", "in_a", fix), unit("b", "in_b", ""), main)
		require.NoError(t, err)
		plain := compile(t, dir, "program.plain", "-O2", "-Wl,--build-id",
			filepath.Join(dir, "a/util.c"), filepath.Join(dir, "b/util.c"), filepath.Join(dir, "main.c"))
		_, err = Build(open(t, plain), []Unit{{
			Source:   "a/util.c",
			Original: open(t, filepath.Join(dir, "a.original.o")), Patched: open(t, filepath.Join(dir, "a.patched.o")),
		}}, Options{UUID: testUUID})
		require.ErrorContains(t, err, `2 files named "util.c" in the target have the same local symbols`)
	})
}

// A change that only shows in the unlikely part of a function replaces the
// function, and guards both of its old parts.
func TestChangeInColdPartOnly(t *testing.T) {
	_, obj, err := diffed(t, []string{"-O2"}, true, Options{}, source{"program.c", `
		#include <stdio.h>
		#include <stdlib.h>
		__attribute__((cold, noinline)) void report(const char *m) { fputs(m, stderr); }
		__attribute__((noinline)) int work(int x) {
			if (__builtin_expect(x > 100, 0)) {
		#ifdef PATCHED
				report("too big, refused\n");
		#else
				report("too big\n");
		#endif
				abort();
			}
			return x * 2;
		}
		int main(int argc, char **argv) { return work(argc); }`})
	require.NoError(t, err)
	require.Len(t, obj.Funcs, 2)
	require.Equal(t, "work", obj.Funcs[0].Name)
	require.Equal(t, patchobject.Replaced, obj.Funcs[0].Kind)
	require.Equal(t, "work.cold", obj.Funcs[1].Name)
	require.Equal(t, patchobject.Guarded, obj.Funcs[1].Kind)
	require.Contains(t, obj.Symbols, "work.cold")
}

// Variables named like what compilers invent keep their state.
func TestStaticVariablesNamedLikeConstants(t *testing.T) {
	_, obj, err := diffed(t, []string{"-O2"}, true, Options{}, source{"program.c", `
		static int C, L;
		__attribute__((noinline)) int work(int x) {
			static int C_local;
			{ static int C; C_local += C++; }
			L += x;
		#ifdef PATCHED
			L++;
		#endif
			return C++ + L + C_local;
		}
		int main(int argc, char **argv) { return work(argc); }`})
	require.NoError(t, err)
	require.Equal(t, patchobject.BindTarget, obj.Binds["C"].Kind)
	require.Equal(t, patchobject.BindTarget, obj.Binds["L"].Kind)
	for name := range obj.Symbols {
		require.Equal(t, "work", name, "nothing but the function is new")
	}
}

// A replaced function that other units call and store keeps one address.
func TestReferencesAcrossUnits(t *testing.T) {
	_, obj, err := diffed(t, []string{"-O2", "-fPIE", "-pie"}, true, Options{},
		source{"a.c", `
			int helper(int), fresh(int);
			int (*stored)(int);
			int use(int x) {
			#ifdef PATCHED
				x = fresh(x);
			#endif
				stored = helper;
				return helper(x);
			}`},
		source{"b.c", `
			#ifdef PATCHED
			int fresh(int x) { return x + 100; }
			int helper(int x) { return x * x + 2; }
			#else
			int helper(int x) { return x * x + 1; }
			#endif`},
		source{"main.c", "int use(int); int main(int argc, char **argv) { return use(argc); }"})
	require.NoError(t, err)
	require.Equal(t, patchobject.BindTarget, obj.Binds["helper@target"].Kind)
	require.Contains(t, obj.Symbols, "fresh")
	require.NotContains(t, obj.Binds, "fresh")
	require.NotContains(t, obj.Binds, "helper", "calls go to the new code")
}

// The code expected in processes is the code of the target, linked or not.
func TestExpectedCode(t *testing.T) {
	dir := t.TempDir()
	_, obj, err := diffedIn(t, dir, []string{"-O2", "-fPIE", "-pie"}, true, Options{}, testdata("body.c"))
	require.NoError(t, err)
	program := open(t, filepath.Join(dir, "program"))
	text := program.Section(".text")
	code, err := text.Bytes()
	require.NoError(t, err)
	for _, f := range obj.Funcs {
		if f.Kind != patchobject.Replaced {
			continue
		}
		linked := append([]byte(nil), code[f.OldAddress-text.Address:][:f.OldSize]...)
		for _, h := range f.Holes {
			clear(linked[h.Offset : h.Offset+h.Length])
		}
		require.Equal(t, f.Code, linked, f.Name)
	}
}

func TestSameInputGivesSameBytes(t *testing.T) {
	dir := t.TempDir()
	first, _, err := diffedIn(t, dir, []string{"-O2"}, true, Options{}, testdata("body.c"))
	require.NoError(t, err)
	second, _, err := diffedIn(t, dir, []string{"-O2"}, true, Options{}, testdata("body.c"))
	require.NoError(t, err)
	require.Equal(t, first.Object, second.Object)
}

// Whatever the bytes of an object, Build returns.
func FuzzBuild(f *testing.F) {
	dir := f.TempDir()
	_, _, err := diffedIn(f, dir, []string{"-O2"}, true, Options{}, testdata("body.c"))
	require.NoError(f, err)
	target := open(f, filepath.Join(dir, "program.debug"))
	original := open(f, filepath.Join(dir, "a.original.o"))
	patched, err := os.ReadFile(filepath.Join(dir, "a.patched.o"))
	require.NoError(f, err)
	f.Add(patched)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := object.Read(newReader(data))
		if err != nil {
			return
		}
		_, _ = Build(target, []Unit{{Source: "body.c", Original: original, Patched: file}}, Options{UUID: testUUID})
	})
}

// Whatever the bytes of an object's debug information, reading its types ends.
func FuzzLayouts(f *testing.F) {
	data, err := os.ReadFile(compile(f, f.TempDir(), "unit.o", "-g", "-c", filepath.Join("testdata", "body.c")))
	require.NoError(f, err)
	f.Add(data, uint32(0), byte(0))
	f.Fuzz(func(t *testing.T, data []byte, at uint32, value byte) {
		file, err := object.Read(newReader(data))
		if err != nil {
			return
		}
		// Most changes of a whole object miss what this is about: one more in it.
		if s := file.Section(".debug_info"); s != nil && s.Size > 0 {
			contents, err := s.Bytes()
			if i := bytes.Index(data, contents); err == nil && i >= 0 && len(contents) > 0 {
				changed := bytes.Clone(data)
				changed[i+int(at)%len(contents)] = value
				if file, err = object.Read(newReader(changed)); err != nil {
					return
				}
			}
		}
		_, _ = readLayouts(file)
	})
}
