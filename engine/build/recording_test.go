package build

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sourcesOf(units []*Unit) []string {
	var names []string
	for _, u := range units {
		names = append(names, filepath.Base(u.Source))
	}
	slices.Sort(names)
	return names
}

func linkNamed(r *Recording, name string) *Link {
	var found *Link
	for _, l := range r.Links() {
		if filepath.Base(l.Path) == name {
			found = l
		}
	}
	return found
}

func TestLinksKnowTheirUnits(t *testing.T) {
	const compileAll = "for f in main one two; do gcc -O2 -g -c $f.c; done\n"
	for name, script := range map[string]string{
		"make":                                   "make",
		"parallel make":                          "make -j8",
		"one command":                            "gcc -O2 -g main.c one.c two.c -o prog",
		"several sources at once":                "gcc -O2 -g -c main.c one.c two.c; gcc *.o -o prog",
		"source and object mixed":                "gcc -c one.c two.c; gcc -g main.c one.o two.o -o prog",
		"archive by name":                        compileAll + "ar rcs libv.a one.o two.o; gcc main.o libv.a -o prog",
		"archive by -l":                          compileAll + "mkdir l; ar rcs l/libv.a one.o two.o; gcc main.o -Ll -lv -o prog",
		"archive deleted afterwards":             compileAll + "ar rcs libv.a one.o two.o; rm one.o; gcc main.o -L. -lv -o prog; rm libv.a *.o",
		"thin archive":                           compileAll + "mkdir l; ar rcsT l/libv.a one.o two.o; gcc main.o l/libv.a -o prog",
		"archive of long names":                  compileAll + "mv one.o a_name_that_fits_no_header.o; ar rcs libv.a a_name_that_fits_no_header.o two.o; gcc main.o libv.a -o prog",
		"ld -r":                                  compileAll + "ld -r one.o two.o -o both.o; gcc main.o both.o -o prog",
		"gcc -r in an archive":                   compileAll + "gcc -nostdlib -r one.o two.o -o both.o; ar rcs libv.a both.o; gcc main.o libv.a -o prog",
		"renamed object":                         compileAll + "mkdir d; mv one.o d/renamed.o; cp two.o t.o; rm two.o; gcc main.o d/renamed.o t.o -o prog",
		"stripped object":                        compileAll + "strip -g one.o; objcopy -g two.o t.o; gcc main.o one.o t.o -o prog",
		"response file":                          "echo '-O2 -c \"one.c\" -o o\\ 1.o' > rsp; gcc @rsp; gcc -c main.c two.c; echo main.o 'o\\ 1.o' two.o > objs; gcc @objs -o prog",
		"stripped program":                       "make; strip prog; rm *.o",
		"assembled in two steps":                 "gcc -c main.c two.c; gcc -S one.c; as one.s -o one.o; gcc *.o -o prog",
		"other name of the compiler":             "CC=x86_64-linux-gnu-gcc; [ $(uname -m) = x86_64 ] || CC=cc; make CC=$CC",
		"compiler by absolute path of the front": "make CC=$(command -v gcc)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, dir := record(t, program, script)
			link := linkNamed(r, "prog")
			require.NotNil(t, link)
			want := []string{"main.c", "one.c", "two.c"}
			if name == "assembled in two steps" {
				want[1] = "one.s"
			}
			assert.Equal(t, want, sourcesOf(link.Units))
			assert.Empty(t, link.Unknown)
			assert.Equal(t, filepath.Join(dir, "prog"), link.Path)
			assert.FileExists(t, link.Kept)
		})
	}
}

func TestDependencies(t *testing.T) {
	for name, flags := range map[string]string{
		"none asked for":        "",
		"-MMD":                  "-MMD",
		"-MD with -MF":          "-MD -MF x.dep -MT x.o -MP",
		"-MF joined":            "-MMD -MFx.dep",
		"of the old spelling":   "-Wp,-MD,x.dep",
		"-MMD and no file left": "-MMD -MF /dev/null",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, dir := record(t, program, "gcc "+flags+" -c one.c -o one.o")
			require.Len(t, r.Units(), 1)
			deps, err := r.Units()[0].dependencies(context.Background(), t.TempDir(), nil)
			require.NoError(t, err)
			assert.Contains(t, deps, filepath.Join(dir, "value.h"))
		})
	}
	t.Run("system headers in the tree", func(t *testing.T) {
		r, dir := record(t, files{"a.c": "#include <v.h>\nint a = V;\n", "inc/v.h": "#define V 1\n"}, "gcc -MMD -isystem inc -c a.c")
		deps, err := r.Units()[0].dependencies(context.Background(), t.TempDir(), nil)
		require.NoError(t, err)
		assert.Contains(t, deps, filepath.Join(dir, "inc/v.h"))
	})
}

func TestAnObjectOfAnUnrecordedCompilerIsNamed(t *testing.T) {
	r, dir := record(t, program, "gcc -c main.c two.c; /usr/bin/gcc -c one.c; gcc *.o -o prog")
	link := linkNamed(r, "prog")
	require.Equal(t, []string{filepath.Join(dir, "one.o")}, link.Unknown)
	var unknown *UnknownObjectError
	require.ErrorAs(t, link.check(), &unknown)
	assert.Contains(t, unknown.Error(), "absolute path")

	r, dir = record(t, program, "gcc -c main.c two.c; /usr/bin/gcc -c one.c; ar rcs l.a one.o; rm one.o; gcc *.o l.a -o prog")
	assert.Equal(t, []string{filepath.Join(dir, "l.a") + "(one.o)"}, linkNamed(r, "prog").Unknown)
}

func TestTheBuildIsNotDisturbed(t *testing.T) {
	r, dir := record(t, program, `
		if gcc -c missing.c; then exit 1; else test $? = 1; fi
		echo 'int x;' | gcc -x c -c - -o piped.o
		gcc --version > version; gcc -E main.c > main.i; gcc -dumpmachine > machine; gcc -M main.c > deps
		printf 'int main(void){return 0;}' > conftest.c; gcc conftest.c -o conftest; ./conftest
		sh -c 'gcc -print-prog-name=ld' > prog
		make`)
	plain := program.write(t, t.TempDir())
	shell(t, plain, os.Environ(), "make; gcc --version > version")
	for _, name := range []string{"version"} {
		want, err := os.ReadFile(filepath.Join(plain, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got))
	}
	assert.Nil(t, linkNamed(r, "conftest"))
	_, err := Record(context.Background(), Options{WorkDir: t.TempDir(), Front: frontProgram}, func(_ context.Context, env []string) error {
		return tryShell(dir, env, "sh -c 'kill -TERM $$'")
	})
	require.Error(t, err)
}

func TestAnIncompleteRecordingIsAnError(t *testing.T) {
	dir := program.write(t, t.TempDir())
	for name, script := range map[string]string{
		"no compiler called":   "true",
		"log not writable":     `rm -f $SYSCARE_CC_LOG; mkdir $SYSCARE_CC_LOG; gcc -c one.c`,
		"log cut off":          `gcc -c one.c; printf '{"kind"' >> $SYSCARE_CC_LOG`,
		"environment not kept": `rm -rf $(dirname $SYSCARE_CC_LOG)/keys; gcc -c one.c`,
		"link not kept":        `rm -rf $(dirname $SYSCARE_CC_LOG)/linked; gcc main.c one.c two.c -o p; test -x p`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Record(context.Background(), Options{WorkDir: t.TempDir(), Front: frontProgram}, func(_ context.Context, env []string) error {
				return tryShell(dir, env, script)
			})
			var incomplete *IncompleteError
			require.ErrorAs(t, err, &incomplete)
		})
	}
}

func TestUnitsCompileToTheSameObject(t *testing.T) {
	for name, script := range map[string]string{
		"plain":            "gcc -O2 -g -c one.c",
		"into a directory": "mkdir o; gcc -O2 -g -MMD -MP -MF o/one.d -DX='\"a b\"' -I. -c one.c -o o/one.o",
		"-Werror":          "gcc -O2 -Wall -Werror -Wp,-MD,one.d,-DY=1 -c one.c -o one.o",
		"two sources":      "gcc -O2 -c two.c one.c",
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := record(t, program, script)
			i := slices.IndexFunc(r.Units(), func(u *Unit) bool { return filepath.Base(u.Source) == "one.c" })
			u := r.Units()[i]
			out := filepath.Join(t.TempDir(), "again.o")
			require.NoError(t, u.Compile(context.Background(), out, nil))
			first, err := os.ReadFile(u.Output)
			require.NoError(t, err)
			again, err := os.ReadFile(out)
			require.NoError(t, err)
			if name != "plain" && name != "into a directory" { // the command line is part of the debug information
				assert.Equal(t, first, again)
			}
			require.NoError(t, u.Compile(context.Background(), out, nil, DiffFlags()...))
			f := openObject(t, out)
			assert.NotNil(t, f.Section(".text.one"))
			assert.NotNil(t, f.Section(".debug_info"))
			recorded, err := u.recordedObject(context.Background(), out, nil)
			require.NoError(t, err)
			assert.Equal(t, u.Output, recorded)
			require.NoError(t, os.Remove(u.Output))
			recorded, err = u.recordedObject(context.Background(), out, nil)
			require.NoError(t, err)
			assert.Equal(t, out, recorded)
		})
	}
}

func TestCompilerErrorsAreReported(t *testing.T) {
	r, dir := record(t, program, "gcc -c one.c")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "one.c"), []byte("int one(void) { return }\n"), 0o644))
	err := r.Units()[0].Compile(context.Background(), filepath.Join(t.TempDir(), "o"), nil)
	var command *CommandError
	require.ErrorAs(t, err, &command)
	assert.Contains(t, err.Error(), "expected expression")
}

// BenchmarkFront compares the front with the tool itself on a small source;
// the metric is what one call costs more.
func BenchmarkFront(b *testing.B) {
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.c"), []byte("#include <stdio.h>\n#include <stdlib.h>\nint f(int x) { return printf(\"%d\", x); }\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	for _, what := range []string{"plain", "front"} {
		b.Run(what, func(b *testing.B) {
			run := func(_ context.Context, env []string) error {
				for b.Loop() {
					if err := tryShell(dir, env, "exec gcc -O2 -c a.c"); err != nil {
						return err
					}
				}
				return nil
			}
			var err error
			if what == "plain" {
				err = run(context.Background(), os.Environ())
			} else {
				_, err = Record(context.Background(), Options{WorkDir: b.TempDir(), Front: frontProgram}, run)
			}
			if err != nil {
				b.Fatal(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
}

// Whatever the log says, reading it ends, and nothing outside its directory is opened.
func FuzzRecording(f *testing.F) {
	dir := program.write(f, f.TempDir())
	work := f.TempDir()
	_, err := Record(context.Background(), Options{WorkDir: work, Front: frontProgram}, func(_ context.Context, env []string) error {
		return tryShell(dir, env, "make; ar rcs libv.a one.o; ld -r one.o two.o -o both.o; strip -g both.o; gcc main.o both.o -o second; gcc -S one.c; gcc -O2 main.c one.o libv.a two.o -o third")
	})
	require.NoError(f, err)
	log := filepath.Join(work, "record", "log")
	data, err := os.ReadFile(log)
	require.NoError(f, err)
	f.Add(data)
	for line := range bytes.Lines(data) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzed := filepath.Join(filepath.Dir(log), "fuzzed")
		require.NoError(t, os.WriteFile(fuzzed, data, 0o600))
		r, err := readRecording(fuzzed)
		if err != nil {
			return
		}
		newUsers(r)
		for _, u := range r.Units() {
			require.NotNil(t, u.record)
			u.arguments()
		}
		for _, l := range r.Links() {
			require.True(t, filepath.IsAbs(l.Path))
			_ = l.check()
		}
	})
}
