// Package rpmtest makes small real packages with rpmbuild for the tests of
// specgen. It imports the standard library only, and writes below the test's
// own temporary directories.
package rpmtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Need skips the test where a program is missing; with SYSCARE_TEST_ALL set,
// as in CI, it fails.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("SYSCARE_TEST_ALL") != "" {
				t.Fatalf("%s is needed: %v", name, err)
			}
			t.Skipf("%s is not installed", name)
		}
	}
}

// Run runs a command and gives its output.
func Run(t testing.TB, argv ...string) string {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

// Build builds source and binary packages of a spec with the given sources
// and macros, and gives their paths by file name.
func Build(t testing.TB, spec string, sources map[string]string, macros ...string) map[string]string {
	t.Helper()
	Need(t, "rpmbuild")
	top := t.TempDir()
	for _, dir := range []string{"SOURCES", "SPECS"} {
		if err := os.Mkdir(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range sources {
		write(t, filepath.Join(top, "SOURCES", name), text)
	}
	path := filepath.Join(top, "SPECS", "test.spec")
	write(t, path, spec)
	argv := []string{"rpmbuild", "-ba", "--nodeps", "--define", "_topdir " + top}
	for _, macro := range macros {
		argv = append(argv, "--define", macro)
	}
	Run(t, append(argv, path)...)
	return Packages(t, top)
}

// Packages gives the packages in rpmbuild's directory top by file name.
func Packages(t testing.TB, top string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, pattern := range []string{"SRPMS/*.rpm", "RPMS/*/*.rpm"} {
		paths, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			found[filepath.Base(p)] = p
		}
	}
	return found
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
