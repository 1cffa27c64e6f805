package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// small is a package of one program, built in a second.
type small struct{ source, debuginfo, binary string }

const smallProgram = `
#include <stdio.h>
#include <unistd.h>
struct limits { int low, high; };
struct limits limits = {1, 10};
__attribute__((noinline)) int allowed(int x) {
	return x >= limits.low && x <= limits.high;
}
int main(void) {
	for (;;) { printf("%d\n", allowed(5)); fflush(stdout); usleep(10000); }
}
`

const smallSpec = `Name: small
Version: 1.0
Release: %s
Summary: A program
License: MIT
Source0: small-1.0.tar.gz
%s
%%description
A program.
%%debug_package
%%prep
%%setup -q
%%build
%s
%%install
install -D small %%{buildroot}/usr/bin/small
%%files
/usr/bin/small
`

// buildSmall makes the packages of the small program. extra are further lines
// of the preamble.
func buildSmall(t testing.TB, release, extra, compile string) small {
	t.Helper()
	top := t.TempDir()
	tree := filepath.Join(top, "small-1.0")
	for _, dir := range []string{tree, filepath.Join(top, "SOURCES"), filepath.Join(top, "SPECS")} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(tree, "small.c"), []byte(smallProgram), 0o644))
	tool(t, "tar", "-C", top, "-czf", filepath.Join(top, "SOURCES/small-1.0.tar.gz"), "small-1.0")
	spec := filepath.Join(top, "SPECS/small.spec")
	require.NoError(t, os.WriteFile(spec, fmt.Appendf(nil, smallSpec, release, extra, compile), 0o644))
	tool(t, "rpmbuild", "--define", "_topdir "+top, "--define", "_unique_debug_names 1", "--nodeps", "-ba", spec)
	return small{
		source:    filepath.Join(top, "SRPMS/small-1.0-"+release+".src.rpm"),
		binary:    filepath.Join(top, "RPMS/x86_64/small-1.0-"+release+".x86_64.rpm"),
		debuginfo: filepath.Join(top, "RPMS/x86_64/small-debuginfo-1.0-"+release+".x86_64.rpm"),
	}
}

const smallCompile = "gcc -O2 -g -o small small.c"

// fix writes a patch of the small program that replaces one line.
func fix(t testing.TB, old, replacement string) string {
	t.Helper()
	dir := t.TempDir()
	before, after := filepath.Join(dir, "a/small.c"), filepath.Join(dir, "b/small.c")
	require.Contains(t, smallProgram, old)
	for path, text := range map[string]string{before: smallProgram, after: strings.Replace(smallProgram, old, replacement, 1)} {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	cmd := command(t)
	cmd.Path, cmd.Args, cmd.Dir = "/usr/bin/diff", []string{"diff", "-u", "a/small.c", "b/small.c"}, dir
	patch := filepath.Join(dir, "fix.patch")
	require.NoError(t, os.WriteFile(patch, []byte(finish(t, cmd).stdout), 0o644))
	return patch
}

// Input that cannot give a patch gets an error that says why, an exit status
// that scripts can tell apart, and leaves nothing behind.
func TestBadInput(t *testing.T) {
	good := buildSmall(t, "1", "", smallCompile)
	other := buildSmall(t, "2", "", smallCompile)
	goodFix := fix(t, "return x >= limits.low", "return x > limits.low")
	write := func(data []byte) string {
		path := filepath.Join(t.TempDir(), "input.rpm")
		require.NoError(t, os.WriteFile(path, data, 0o644))
		return path
	}
	source, err := os.ReadFile(good.source)
	require.NoError(t, err)
	explained := newExplained(t)

	for _, row := range []struct {
		name                     string
		source, debuginfo, patch string
		env                      []string
		code                     int
		says                     string
		keepsLog                 bool
	}{
		{name: "not an RPM", source: goodFix, code: 1, says: "not an RPM"},
		{name: "an RPM cut short in its header", source: write(source[:300]), code: 1, says: "incomplete"},
		{name: "an RPM cut short in its payload", source: write(source[:len(source)-200]), code: 1, says: "incomplete"},
		{name: "a binary package as the source", source: good.binary, code: 1, says: "source package"},
		{name: "another architecture", source: good.source, debuginfo: write(bytes.Replace(mustRead(t, good.debuginfo), []byte("x86_64\x00"), []byte("sparc9\x00"), 1)), code: 1, says: "arch|sparc9|not an RPM|damaged"},
		{name: "the debuginfo of another build", debuginfo: other.debuginfo, code: 1, says: "debuginfo of another build"},
		{name: "a patch that does not apply", patch: write([]byte("--- a/small.c\n+++ b/small.c\n@@ -3,1 +3,1 @@\n-nothing like it\n+else\n")), code: 1, says: "small.c.*hunk|[Hh]unk"},
		{name: "a program's own package as debuginfo", debuginfo: good.binary, code: 1, says: "holds no debug information"},
		{name: "a patch that is in the source", patch: reversed(t, goodFix), code: 1, says: "small.c: the source has this change already"},
		{name: "a patch of a file that is not there", patch: write(bytes.ReplaceAll(mustRead(t, goodFix), []byte("small.c"), []byte("large.c"))), code: 1, says: "no file a/large.c"},
		{name: "a patch of a file outside", patch: write(bytes.ReplaceAll(mustRead(t, goodFix), []byte("b/small.c"), []byte("b/../../small.c"))), code: 1, says: "outside the source tree"},
		{name: "no patch", patch: write([]byte("a text\n")), code: 1, says: "is it a patch"},
		{name: "a patch of a comment", patch: fix(t, "int main", "/* a comment */ int main"), code: 3, says: "no functional change"},
		{name: "a changed initialiser of a struct", patch: fix(t, "{1, 10}", "{1, 20}"), code: 5, says: "small.c: limits: the initial value of existing data changed"},
		{name: "a new thread-local variable", patch: fix(t, "\treturn x >=", "\tstatic __thread int calls; calls++;\n\treturn calls + x >="), code: 5, says: "new thread-local variable"},
		{name: "a patch that breaks the build", patch: fix(t, "return x >=", "return y >="), code: 1, says: "build.log", keepsLog: true},
		{name: "no compiler", env: []string{"PATH=" + pathWithout(t, "gcc", "cc")}, code: 1, says: "gcc", keepsLog: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			work, output := t.TempDir(), t.TempDir()
			pick := func(given, usual string) string {
				if given != "" {
					return given
				}
				return usual
			}
			cmd := command(t, "build", "--patch_name", "HP001", "--workdir", work, "--output", output,
				"--source", pick(row.source, good.source), "--debuginfo", pick(row.debuginfo, good.debuginfo),
				"--patch", pick(row.patch, goodFix))
			if row.env != nil {
				cmd.Env = append(os.Environ(), row.env...)
			}
			r := finish(t, cmd)
			require.Equal(t, row.code, r.code, r.stderr)
			require.Regexp(t, row.says, r.stderr)
			explained.seen(t, r.stderr)
			require.NotContains(t, r.stderr, "panic")
			requireEmpty(t, output)
			if !row.keepsLog {
				requireEmpty(t, work)
				return
			}
			logs, err := filepath.Glob(filepath.Join(work, "syscare-build.*", "*"))
			require.NoError(t, err)
			require.Len(t, logs, 1, "only the log that the error names")
			require.Contains(t, r.stderr, logs[0])
		})
	}

	for name, row := range refusedKinds {
		t.Run(name, func(t *testing.T) {
			p := row.kind.pack(t, row.env...)
			work, output := t.TempDir(), t.TempDir()
			r := syscare(t, "build", "--patch_name", "HP001", "--workdir", work, "--output", output,
				"--source", p.source, "--debuginfo", p.debuginfo[0], "--patch", p.patch)
			require.Equal(t, row.code, r.code, r.stderr)
			require.Regexp(t, row.says, r.stderr)
			explained.seen(t, r.stderr)
			requireEmpty(t, work)
			requireEmpty(t, output)
		})
	}

	t.Run("a working directory with a blank in its name", func(t *testing.T) {
		work := filepath.Join(t.TempDir(), "a b")
		require.NoError(t, os.Mkdir(work, 0o755))
		r := syscare(t, "build", "--patch_name", "HP001", "--workdir", work, "--output", t.TempDir(), "--no-cache",
			"--source", good.source, "--debuginfo", good.debuginfo, "--patch", goodFix)
		require.Equal(t, 1, r.code)
		explained.seen(t, r.stderr)
	})

	t.Run("a missing build requirement is named, with the command to get it", func(t *testing.T) {
		if exec.Command("apt-cache", "show", "sl").Run() != nil {
			tool(t, "apt-get", "update")
		}
		needy := buildSmall(t, "3", "BuildRequires: gcc, /bin/sh, sl\nBuildRequires: nobody-knows-this-devel >= 3", smallCompile)
		work := t.TempDir()
		args := []string{"build", "--patch_name", "HP001", "--workdir", work, "--output", t.TempDir(), "--patch", goodFix}
		r := syscare(t, append(args, "--source", needy.source, "--debuginfo", needy.debuginfo)...)
		require.Equal(t, 1, r.code)
		require.Contains(t, r.stderr, "sl; install them with: apt-get install sl")
		require.NotContains(t, r.stderr, "gcc")
		explained.seen(t, r.stderr)
		requireEmpty(t, work)

		needy = buildSmall(t, "4", "BuildRequires: gcc, make, /bin/sh, nobody-knows-this-devel >= 3", smallCompile)
		r = syscare(t, append(args, "--source", needy.source, "--debuginfo", needy.debuginfo)...)
		require.Zero(t, r.code, r.stderr)
		require.Contains(t, r.stderr, "cannot be looked for on this machine: nobody-knows-this-devel >= 3")
	})

	t.Run("a full disk", func(t *testing.T) {
		disk := t.TempDir()
		tool(t, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk)
		t.Cleanup(func() { require.NoError(t, syscall.Unmount(disk, 0)) })
		r := syscare(t, "build", "--patch_name", "HP001", "--workdir", disk, "--output", t.TempDir(),
			"--source", good.source, "--debuginfo", good.debuginfo, "--patch", goodFix)
		require.Equal(t, 1, r.code)
		require.Contains(t, r.stderr, "no space left on device")
		explained.seen(t, r.stderr)
	})
	require.Empty(t, explained, "documented, and seen by no test")

	t.Run("Ctrl-C at any stage", func(t *testing.T) {
		began := time.Now()
		must(t, "build", "--patch_name", "HP001", "--workdir", t.TempDir(), "--output", t.TempDir(),
			"--source", good.source, "--debuginfo", good.debuginfo, "--patch", goodFix)
		whole := time.Since(began)
		for i := range 10 {
			work, output := t.TempDir(), t.TempDir()
			cmd := command(t, "build", "--patch_name", "HP001", "--workdir", work, "--output", output,
				"--source", good.source, "--debuginfo", good.debuginfo, "--patch", goodFix)
			require.NoError(t, cmd.Start())
			time.Sleep(whole * time.Duration(2*i+1) / 20)
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
			if cmd.Wait() == nil {
				continue // it was done by then
			}
			requireEmpty(t, work)
			requireEmpty(t, output)
		}
	})
}

// reversed is the patch that takes the change of another one back.
func reversed(t testing.TB, patch string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "back.patch")
	cmd := exec.Command("sed", "-e", "s/^-\\([^-]\\)/=\\1/; s/^+\\([^+]\\)/-\\1/; s/^=/+/", patch)
	text, err := cmd.Output()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o644))
	return path
}

// explained are the messages of docs/errors.md that no test has seen yet.
type explained map[string]bool

func newExplained(t *testing.T) explained {
	t.Helper()
	e := explained{}
	for _, message := range documentedErrors(t) {
		e[message] = true
	}
	require.NotEmpty(t, e)
	return e
}

// seen finds the documented message in an error.
func (e explained) seen(t *testing.T, stderr string) {
	t.Helper()
	found := false
	for _, message := range documentedErrors(t) {
		if strings.Contains(stderr, message) {
			found = true
			delete(e, message)
		}
	}
	require.True(t, found, "docs/errors.md does not explain: %s", stderr)
}

// documentedErrors are the messages in the table of docs/errors.md.
func documentedErrors(t *testing.T) (messages []string) {
	t.Helper()
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllSubmatch(mustRead(t, "../docs/errors.md"), -1) {
		messages = append(messages, string(row[1]))
	}
	return messages
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

// pathWithout is a directory with links to every program in PATH but some.
func pathWithout(t testing.TB, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, from := range filepath.SplitList(os.Getenv("PATH")) {
		entries, err := os.ReadDir(from)
		if err != nil {
			continue
		}
		for _, e := range entries {
			skip := false
			for _, name := range names {
				skip = skip || e.Name() == name
			}
			if !skip {
				_ = os.Symlink(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name()))
			}
		}
	}
	return dir
}
