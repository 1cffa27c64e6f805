package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/specgen"
	"github.com/openeuler/syscare/state/metadata"
	"github.com/openeuler/syscare/tests/vm"
)

// rpmbuild builds the binary packages of a spec whose sources are in a directory.
func rpmbuild(t testing.TB, spec, sources string, args ...string) (packages []string) {
	t.Helper()
	top := t.TempDir()
	path := filepath.Join(top, "package.spec")
	require.NoError(t, os.WriteFile(path, []byte(spec), 0o644))
	tool(t, "rpmbuild", append([]string{"-bb", "--nodeps", "--define", "_topdir " + top, "--define", "_sourcedir " + sources, path}, args...)...)
	packages, err := filepath.Glob(filepath.Join(top, "RPMS/*/*.rpm"))
	require.NoError(t, err)
	return packages
}

// prebuilt is a package with one file that is made already.
func prebuilt(t testing.TB, name, version, release, file, installed string) string {
	t.Helper()
	spec := fmt.Sprintf(`
%%global __os_install_post %%{nil}
%%global debug_package %%{nil}
%%global _build_id_links none
Name: %s
Version: %s
Release: %s
Summary: A package for tests
License: MIT
AutoReqProv: no
%%description
For tests.
%%install
install -D -m 0755 %%{_sourcedir}/%s %%{buildroot}%s
%%files
%s
`, name, version, release, filepath.Base(file), installed, installed)
	packages := rpmbuild(t, spec, filepath.Dir(file))
	require.Len(t, packages, 1)
	return packages[0]
}

// baseRPM stands for the distribution: it provides what the packages require that
// none of them has.
func baseRPM(t testing.TB, packages ...string) string {
	t.Helper()
	provides := []string{"/bin/sh", "python3-dnf", "python3"}
	for line := range strings.Lines(tool(t, "rpm", append([]string{"-qp", "--nosignature", "--requires"}, packages...)...)) {
		name := strings.Fields(line)[0]
		if name == "program" || name == "redis" { // targets are packages of their own
			continue
		}
		if !strings.HasPrefix(name, "rpmlib(") && !strings.HasPrefix(name, "config(") && !strings.HasPrefix(name, "syscare") {
			provides = append(provides, name)
		}
	}
	slices.Sort(provides)
	spec := "Name: base\nVersion: 1\nRelease: 1\nSummary: The distribution\nLicense: MIT\nBuildArch: noarch\n"
	for _, name := range slices.Compact(provides) {
		spec += "Provides: " + name + "\n"
	}
	built := rpmbuild(t, spec+"%description\nAll that is there.\n%files\n", t.TempDir())
	require.Len(t, built, 1)
	return built[0]
}

// syscareRPMs are SysCare's own packages, made of this tree by its spec.
func syscareRPMs(t testing.TB) []string {
	t.Helper()
	spec, err := os.ReadFile("../packaging/syscare.spec")
	require.NoError(t, err)
	sources := t.TempDir()
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = ".."
	files, err := list.Output()
	require.NoError(t, err)
	pack := exec.Command("tar", "-czf", filepath.Join(sources, "syscare-0.1.0.tar.gz"), "--null", "--no-recursion", "--transform", "s,^,syscare-0.1.0/,", "-T", "-")
	pack.Dir, pack.Stdin = "..", strings.NewReader(string(files))
	out, err := pack.CombinedOutput()
	require.NoError(t, err, string(out))
	args := []string{"--define", "python3_sitelib /usr/lib/python3/dist-packages", "--define", "_sharedstatedir /var/lib"}
	for _, macro := range []string{"systemd_post", "systemd_preun", "systemd_postun"} { // of systemd-rpm-macros
		args = append(args, "--define", macro+"() :")
	}
	return rpmbuild(t, string(spec), sources, args...)
}

func TestSpecOfOurPackagesIsClean(t *testing.T) {
	needTools(t, "rpmlint")
	require.Contains(t, tool(t, "rpmlint", "--config", "../packaging/rpmlint-syscare.toml", "../packaging/syscare.spec"), " 0 errors, 0 warnings")
}

// A patchPackage is a patch of the machine's program as an RPM.
type patchPackage struct {
	name, version, macro string
	contains             []string // names of patches that it is made of as well
}

// patchRPMs makes packages of patches, in order.
func (m *machine) patchRPMs(patches ...patchPackage) (paths []string) {
	m.t.Helper()
	fixes := map[string]string{}
	output := m.t.TempDir()
	for _, want := range patches {
		p, object := m.makePatch(want.name, want.version, want.macro)
		fixes[want.name] = p.Patches[0].Digest
		for _, name := range want.contains {
			other := p.Patches[0]
			other.Digest = fixes[name]
			p.Patches = append(p.Patches, other)
			p.Obsoletes = append(p.Obsoletes, metadata.Obsolete{Name: strings.TrimSuffix(p.PackageName(), want.name) + name, Version: "2", Release: "1"})
		}
		p.Digest = p.ComputeDigest()
		path, err := specgen.WriteBinary(&specgen.Content{Patch: p, Objects: []string{object}, BuildTime: time.Unix(1_700_000_000, 0)}, output)
		require.NoError(m.t, err)
		paths = append(paths, path)
	}
	return paths
}

// put copies files into a directory of a virtual machine that has not booted.
func put(t testing.TB, v *vm.Machine, dir string, files ...string) {
	t.Helper()
	for _, file := range files {
		copyTo(t, file, filepath.Join(v.Root, dir, filepath.Base(file)))
	}
}

// newKey makes a key for signatures and gives its name and the file of its public
// half.
func newKey(t testing.TB) (name, public string) {
	t.Helper()
	needTools(t, "gpg", "rpmsign")
	home, err := os.MkdirTemp("", "gpg") // short: there is a socket in it
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--kill", "all").Run()
		_ = os.RemoveAll(home)
	})
	t.Setenv("GNUPGHOME", home)
	const who = "SysCare Test <test@example.org>"
	tool(t, "gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", who, "rsa2048", "sign", "never")
	public = filepath.Join(t.TempDir(), "key.asc")
	tool(t, "gpg", "--batch", "--armor", "--output", public, "--export", who)
	return who, public
}
