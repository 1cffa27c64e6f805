package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The spec of docs/packaging.md makes the package that `syscare build` makes: the same
// files, relations and scriptlets. It is built with SysCare installed as its package
// installs it.
func TestPackagersOwnSpec(t *testing.T) {
	needTools(t, "rpmbuild", "unshare", "cpio", "rpm2cpio")
	p := buildSmall(t, "1", "", smallCompile)
	theFix := fix(t, "return x >= limits.low", "return x > limits.low")
	root := t.TempDir()
	tool(t, "make", "-C", "..", "install", "DESTDIR="+root)
	output := t.TempDir()
	cmd := command(t, "build", "--patch_name", "HP001", "--workdir", t.TempDir(), "--output", output,
		"--source", p.source, "--debuginfo", p.debuginfo, "--patch", theFix)
	cmd.Path = filepath.Join(root, "usr/bin/syscare")
	cmd.Env = append(os.Environ(), "SYSCARE_LIBEXEC="+filepath.Join(root, "usr/libexec/syscare"))
	require.Zero(t, finish(t, cmd).code)
	plain := patchRPM(t, output)

	top := t.TempDir()
	text := regexp.MustCompile("(?s)```spec\n(.*?)```").FindSubmatch(mustRead(t, "../docs/packaging.md"))[1]
	spec := strings.NewReplacer(
		"patch-redis-7.0.15-1-HP001", "patch-small-1.0-1-HP001", "License:        BSD", "License:        MIT",
		"redis-7.0.15-1.src.rpm", p.source, "redis-debuginfo-7.0.15-1.x86_64.rpm", p.debuginfo, "CVE-2025-32023.patch", theFix,
	).Replace(string(text))
	build := func(spec string) result {
		path := filepath.Join(top, "patch.spec")
		require.NoError(t, os.WriteFile(path, []byte(spec), 0o644))
		sources := filepath.Join(top, "SOURCES")
		require.NoError(t, os.MkdirAll(sources, 0o755))
		for _, file := range []string{p.source, p.debuginfo, theFix} {
			require.NoError(t, os.WriteFile(filepath.Join(sources, filepath.Base(file)), mustRead(t, file), 0o644))
		}
		// A /usr with ours on top, seen by nobody else.
		cmd := command(t)
		cmd.Path = "/usr/bin/unshare"
		cmd.Args = []string{"unshare", "--mount", "sh", "-e", "-c",
			"mount -t overlay -o lowerdir=" + root + "/usr:/usr overlay /usr; exec rpmbuild --nodeps --define '_topdir " + top + "' -bb " + path}
		cmd.Env = append(os.Environ(), "CFLAGS=-O0 -DNOT_FOR_THE_PROGRAM_INSIDE")
		return finish(t, cmd)
	}
	r := build(spec)
	require.Zero(t, r.code, r.stderr)
	found, err := filepath.Glob(filepath.Join(top, "RPMS/*/*.rpm"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, filepath.Base(plain), filepath.Base(found[0]))

	files := func(path string) string {
		return tool(t, "rpm", "-qp", "--nosignature", "--qf", "[%{FILEMODES:perms} %{FILEUSERNAME} %{FILENAMES} %{FILEDIGESTS}\n]", path)
	}
	require.Equal(t, files(plain), files(found[0]))
	for _, what := range []string{"--provides", "--obsoletes", "--scripts", "--requires"} {
		of := func(path string) (lines []string) {
			for _, line := range strings.Split(tool(t, "rpm", "-qp", "--nosignature", what, path), "\n") {
				// What it needs of the rpm that installs is rpmbuild's own affair.
				if line != "" && !strings.HasPrefix(line, "rpmlib(") {
					lines = append(lines, strings.TrimSpace(line))
				}
			}
			return lines
		}
		require.ElementsMatch(t, of(plain), of(found[0]), what)
	}

	wrong := build(strings.Replace(spec, "patch-small-1.0-1-HP001", "patch-small", 1))
	require.NotZero(t, wrong.code)
	require.Contains(t, wrong.stdout+wrong.stderr, "this patch makes the package patch-small-1.0-1-HP001: call it so, not patch-small")
}
