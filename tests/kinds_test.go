package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// kind is a package as they are found in the wild: its sources, how it is prepared and
// built, and a fix of it.
type kind struct {
	files   map[string]string // of the tarball, besides the program's
	without []string          // files of the program that it does not have
	sources map[string]string // beside the tarball: its own patches
	// Parts of the spec. The defaults are those of a package of one program.
	epoch, version, preamble, prep, build, install, packages, list string

	programs []string // what is installed in /usr/bin, patched and started
	change   change
	comment  string   // a file of other programs that the fix changes a comment of
	extra    []string // more arguments of the build
	// says wants a line of the build's messages: what it did in another way.
	says string
}

// change is a fix: in a file of the tarball, one text for another.
type change struct{ file, old, new string }

// answerProgram prints what answer says, over and over: 6, and 7 once it is fixed.
var answerProgram = map[string]string{
	"main.c": `#include "answer.h"
#include <stdio.h>
#include <unistd.h>
int main(void)
{
	for (;;) {
		printf("%d\n", answer(5));
		fflush(stdout);
		usleep(10000);
	}
}
`,
	"answer.h": "#ifdef __cplusplus\nextern \"C\"\n#endif\nint answer(int x);\n",
	"answer.c": `#include "answer.h"
#include <stdlib.h>
static int calls;
int answer(int x)
{
	if (++calls < 0)
		abort();
	return x + 1;
}
`,
}

var answerChange = change{"answer.c", "return x + 1;", "return x + 2;"}

const kindSpec = `Name: kind
EPOCH
Version: VERSION
Release: 1
Summary: A program
License: MIT
Source0: kind.tar.gz
PREAMBLE
%description
A program.
%debug_package
PACKAGES
%prep
PREP
%build
BUILD
%install
INSTALL
%check
echo "the tests of the package must not run"; exit 1
LIST
`

func or(value, usual string) string {
	if value == "" {
		return usual
	}
	return value
}

// packed are the packages of a kind.
type packed struct {
	source              string
	binaries, debuginfo []string
	patch               string
}

// pack builds the packages of a kind with more in the environment, and writes its fix.
func (k kind) pack(t *testing.T, env ...string) packed {
	t.Helper()
	top := t.TempDir()
	tree := filepath.Join(top, "kind")
	write := func(dir, name, text string) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
	}
	files := map[string]string{}
	for name, text := range answerProgram {
		files[name] = text
	}
	for _, name := range k.without {
		delete(files, name)
	}
	for name, text := range k.files {
		files[name] = text
	}
	for name, text := range files {
		write(tree, name, text)
	}
	spec := strings.NewReplacer(
		"EPOCH", k.epoch, "VERSION", or(k.version, "1.0"), "PREAMBLE", k.preamble, "PACKAGES", k.packages,
		"PREP", or(k.prep, "%setup -q -n kind"),
		"BUILD", or(k.build, "gcc -O2 -g -o kind *.c"),
		"INSTALL", or(k.install, "install -D kind %{buildroot}/usr/bin/kind"),
		"LIST", or(k.list, "%files\n/usr/bin/*"),
	).Replace(kindSpec)
	for name, text := range k.sources {
		write(filepath.Join(top, "SOURCES"), name, text)
	}
	write(filepath.Join(top, "SPECS"), "kind.spec", spec)
	require.NoError(t, os.MkdirAll(filepath.Join(top, "SOURCES"), 0o755))
	tool(t, "tar", "-C", top, "-czf", filepath.Join(top, "SOURCES/kind.tar.gz"), "kind")
	cmd := exec.Command("rpmbuild", "--define", "_topdir "+top, "--define", "_unique_debug_names 1", "--nodeps", "--nocheck", "-ba", filepath.Join(top, "SPECS/kind.spec"))
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)

	p := packed{patch: filepath.Join(t.TempDir(), "fix.patch")}
	found, err := filepath.Glob(filepath.Join(top, "SRPMS/*.src.rpm"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	p.source = found[0]
	found, err = filepath.Glob(filepath.Join(top, "RPMS/*/*.rpm"))
	require.NoError(t, err)
	for _, path := range found {
		switch name := filepath.Base(path); {
		case strings.Contains(name, "-debuginfo-"):
			p.debuginfo = append(p.debuginfo, path)
		case !strings.Contains(name, "-debugsource-"):
			p.binaries = append(p.binaries, path)
		}
	}
	require.NotEmpty(t, p.debuginfo, "%q", found)
	k.writeFix(t, files, p.patch)
	return p
}

// writeFix writes the fix as a patch of the prepared sources.
func (k kind) writeFix(t *testing.T, files map[string]string, path string) {
	t.Helper()
	c := k.change
	if c.file == "" {
		c = answerChange
	}
	require.Contains(t, files[c.file], c.old, c.file)
	dir := t.TempDir()
	put := func(side, name, text string) {
		full := filepath.Join(dir, side, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		require.NoError(t, os.WriteFile(full, []byte(text), 0o644))
	}
	put("a", c.file, files[c.file])
	put("b", c.file, strings.Replace(files[c.file], c.old, c.new, 1))
	if k.comment != "" {
		put("a", k.comment, files[k.comment])
		put("b", k.comment, "/* no code */\n"+files[k.comment])
	}
	cmd := command(t)
	cmd.Path, cmd.Args, cmd.Dir = "/usr/bin/git", []string{"git", "diff", "--no-index", "--no-prefix", "a", "b"}, dir
	require.NoError(t, os.WriteFile(path, []byte(finish(t, cmd).stdout), 0o644))
}
