package specgen

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/specgen/internal/rpmtest"
	"github.com/openeuler/syscare/specgen/rpmfile"
)

// programSpec builds a program with debug information; its preparation leaves
// a second directory beside the sources.
const programSpec = `
%global _unique_debug_names 1
%global _build_id_links compat
Name: prog
Version: 1.2
Release: 3
Summary: A program
License: MIT
Source0: prog.c
Patch0: fix.patch
%description
A program.
%debug_package
%prep
%setup -q -c -T -n prog-dir
mkdir ../other
cp %{SOURCE0} .
%patch0 -p0
%build
gcc -g -O2 -Wl,--build-id -o prog prog.c
%install
install -D prog %{buildroot}/usr/bin/prog
ln %{buildroot}/usr/bin/prog %{buildroot}/usr/bin/prog2
%files
/usr/bin/prog
/usr/bin/prog2
`

const fixPatch = "--- prog.c\n+++ prog.c\n@@ -1 +1 @@\n-int main(void) { return 1; }\n+int main(void) { return 0; }\n"

func program(t *testing.T) map[string]string {
	t.Helper()
	rpmtest.Need(t, "gcc")
	return rpmtest.Build(t, programSpec, map[string]string{"prog.c": "int main(void) { return 1; }\n", "fix.patch": fixPatch})
}

func unpack(t *testing.T, path string) (*Tree, error) {
	t.Helper()
	p, err := rpmfile.Open(path)
	require.NoError(t, err)
	return UnpackSource(context.Background(), p, t.TempDir())
}

func TestASourcePackageIsPreparedAndBuilt(t *testing.T) {
	tree, err := unpack(t, program(t)["prog-1.2-3.src.rpm"])
	require.NoError(t, err)
	assert.FileExists(t, filepath.Join(tree.Topdir, "SOURCES", "prog.c"))
	strip, err := tree.Strip()
	require.NoError(t, err)
	assert.Equal(t, 0, strip)
	var log bytes.Buffer
	require.NoError(t, tree.Build(context.Background(), os.Environ(), 2, &log), log.String())
	sources, err := tree.Sources()
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(tree.Topdir, "BUILD", "prog-dir"), sources, "not the directory beside it")
	text, err := os.ReadFile(filepath.Join(sources, "prog.c"))
	require.NoError(t, err)
	assert.Contains(t, string(text), "return 0", "the package's own patch is applied")
	assert.FileExists(t, filepath.Join(sources, "prog"))
	assert.Contains(t, log.String(), "+ rpmbuild -bc")
	assert.Contains(t, log.String(), "gcc -g -O2")
}

func TestStripLevelsOfSpecs(t *testing.T) {
	for line, want := range map[string]int{
		"%autosetup -p1": 1, "%autosetup -n x -p2": 2, "%autosetup -S git -p 0": 0, "%patch0 -p1": 1, "%patch12 -p0 -b .x": 0,
		"%patch -P0 -p2": 2, "%patch -P 3 -p1": 1, "  %autopatch -p3": 3, "%setup -q": 1, "%autosetup": 1, "%patch0": 1, "#%patch0 -p0": 1,
	} {
		tree := &Tree{Spec: put(t, filepath.Join(t.TempDir(), "x.spec"), "Name: x\n%prep\n"+line+"\n%build\nfoo -p7\n")}
		got, err := tree.Strip()
		require.NoError(t, err)
		assert.Equal(t, want, got, line)
	}
}

func TestMissingBuildRequirementsAreNamed(t *testing.T) {
	spec := strings.Replace(targetSpec, "%description", "BuildRequires: nowhere-devel >= 3, pkgconfig(absent), cowsay\n%description", 1)
	tree, err := unpack(t, rpmtest.Build(t, spec, map[string]string{"redis.c": ""})["redis-7.0.15-1.src.rpm"])
	require.NoError(t, err)
	t.Setenv("LANG", "de_DE.UTF-8")
	log := &bytes.Buffer{}
	err = tree.rpmbuild(context.Background(), os.Environ(), 1, log, nil)
	var missing *MissingDependenciesError
	require.ErrorAs(t, err, &missing)
	assert.ElementsMatch(t, []string{"nowhere-devel >= 3", "pkgconfig(absent)", "cowsay"}, missing.Names)
	require.ErrorContains(t, err, "dnf install 'cowsay'")
	missing.Apt = []string{"cowsay"}
	require.ErrorContains(t, err, "apt-get install cowsay")
	assert.NotContains(t, log.String(), "Executing(", "they are looked for first")
}

func TestNamesForApt(t *testing.T) {
	for name, want := range map[string][]string{
		"gcc": {"gcc"}, "/usr/bin/bison": {"bison"}, "zlib-devel": {"libzlib-dev", "zlib-dev"}, "libxml2-devel": {"libxml2-dev", "libxml2-dev"},
		"pkgconfig(expat)": {"libexpat-dev", "expat-dev"}, "rpm_macro(x)": nil, "perl(Test::More)": nil, "--force": nil,
	} {
		assert.Equal(t, want, aptNames(name), name)
	}
}

func TestAFailingBuildSaysWhatItSaidLast(t *testing.T) {
	spec := strings.Replace(targetSpec, "%files", "%build\necho the last words\nexit 7\n%files", 1)
	// The package is written without being built.
	top := t.TempDir()
	path := put(t, filepath.Join(top, "SPECS", "x.spec"), spec)
	tree := &Tree{Topdir: top, Spec: path}
	put(t, filepath.Join(top, "SOURCES", "redis.c"), "")
	require.NoError(t, os.Mkdir(filepath.Join(top, "BUILD"), 0o755))
	err := tree.Build(context.Background(), os.Environ(), 1, &bytes.Buffer{})
	var failed *CommandError
	require.ErrorAs(t, err, &failed)
	assert.Contains(t, failed.Tail, "the last words")
}

func TestAnInterruptedBuildEndsAtOnceWithAllItsProcesses(t *testing.T) {
	top := t.TempDir()
	path := put(t, filepath.Join(top, "SPECS", "x.spec"), strings.Replace(targetSpec, "%files", "%build\ntrap '' TERM\ntouch "+top+"/started\nsleep 1000\n%files", 1))
	put(t, filepath.Join(top, "SOURCES", "redis.c"), "")
	require.NoError(t, os.Mkdir(filepath.Join(top, "BUILD"), 0o755))
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for {
			if _, err := os.Stat(filepath.Join(top, "started")); err == nil {
				cancel()
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	tree := &Tree{Topdir: top, Spec: path}
	start := time.Now()
	require.ErrorIs(t, tree.Build(ctx, os.Environ(), 1, &bytes.Buffer{}), context.Canceled)
	assert.Less(t, time.Since(start), 20*time.Second)
}

func TestDebuginfoGivesProgramsOnceWithTheirPaths(t *testing.T) {
	made := program(t)
	source, err := rpmfile.Open(made["prog-1.2-3.src.rpm"])
	require.NoError(t, err)
	debuginfo := ""
	for name, path := range made {
		if strings.HasPrefix(name, "prog-debuginfo-") {
			debuginfo = path
		}
	}
	require.NotEmpty(t, debuginfo, "%v", made)
	dir := filepath.Join(t.TempDir(), "debug")
	files, err := ExtractDebuginfo(context.Background(), debuginfo, source, dir)
	require.NoError(t, err)
	require.Len(t, files, 1, "hard links and build-id links count once")
	assert.Contains(t, []string{"/usr/bin/prog", "/usr/bin/prog2"}, files[0].TargetPath)
	assert.NotEmpty(t, files[0].BuildID)
	assert.FileExists(t, files[0].Path)

	other := *source
	other.Release = "4"
	_, err = ExtractDebuginfo(context.Background(), debuginfo, &other, t.TempDir())
	require.ErrorIs(t, err, ErrOtherBuild)
	require.ErrorContains(t, err, "prog-1.2-4.src.rpm")
	for name, path := range made {
		if strings.HasPrefix(name, "prog-1.2-3.") && !strings.HasSuffix(name, ".src.rpm") {
			_, err = ExtractDebuginfo(context.Background(), path, source, t.TempDir())
			require.ErrorIs(t, err, ErrNoDebugFiles)
		}
	}
	_, err = ExtractDebuginfo(context.Background(), source.Path, source, t.TempDir())
	require.ErrorIs(t, err, rpmfile.ErrKind)
}
