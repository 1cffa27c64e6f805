package specgen

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/specgen/internal/rpmtest"
	"github.com/openeuler/syscare/specgen/rpmfile"
	"github.com/openeuler/syscare/state/metadata"
)

const targetSpec = `
Name: redis
Epoch: 1
Version: 7.0.15
Release: 1
Summary: A server
License: BSD and MIT
BuildArch: noarch
Source0: redis.c
%description
A server.
%files
`

// awkward has everything in it that a spec could take for its own.
const awkward = "CVE-2021-32675 - 100% of %{clients} are \"hit\" by $(this) \\\n\n%files\n  %if 1\n# no comment\n%(touch /tmp/evil)\ttail \r\nÄ %% end  \n"

func sum(text string) string {
	digest := sha256.Sum256([]byte(text))
	return hex.EncodeToString(digest[:])
}

func put(t testing.TB, path, text string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// sampleContent is a patch of two entities and two patch files.
func sampleContent(t testing.TB) *Content {
	t.Helper()
	dir := t.TempDir()
	source := rpmtest.Build(t, targetSpec, map[string]string{"redis.c": "int main;\n"})["redis-7.0.15-1.src.rpm"]
	require.NotEmpty(t, source)
	p := &metadata.Patch{
		Schema: metadata.SchemaVersion, UUID: "980fa0d0-e753-447c-8494-01de595f35d0", Name: "HP001", Version: "2", Release: "1",
		Arch: "x86_64", Type: metadata.UserPatch, License: "BSD and MIT", Description: awkward,
		Target: metadata.Package{Name: "redis", Epoch: "1", Version: "7.0.15", Release: "1", Arch: "x86_64"},
		CVEs:   []string{"CVE-2021-32675", "CVE-2022-24834"}, Obsoletes: []metadata.Obsolete{{Name: "patch-redis-6.2.5-1-SGL_1", Version: "1", Release: "1"}},
	}
	c := &Content{Patch: p, Source: source, BuildTime: time.Unix(1700000000, 0)}
	for i, name := range []string{"redis-server", "redis-cli"} {
		text := "object of " + name
		uuid := []string{"11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"}[i]
		p.Entities = append(p.Entities, metadata.Entity{
			UUID: uuid, Name: name, Path: "/usr/bin/" + name, BuildID: object.BuildID("abcdef012345678" + string(rune('0'+i))),
			File: uuid, Digest: sum(text), Functions: []string{"main"},
		})
		c.Objects = append(c.Objects, put(t, filepath.Join(dir, "objects", uuid), text))
	}
	for _, name := range []string{"z-first.patch", "a-second.patch"} {
		text := "--- " + name + "\n"
		p.Patches = append(p.Patches, metadata.SourcePatch{Name: name, Digest: sum(text)})
		c.Patches = append(c.Patches, put(t, filepath.Join(dir, "patches", name), text))
	}
	p.Digest = p.ComputeDigest()
	return c
}

func makeBoth(t *testing.T, c *Content) (binary, source string) {
	t.Helper()
	dir := t.TempDir()
	binary, err := WriteBinary(c, dir)
	require.NoError(t, err)
	var log bytes.Buffer
	source, err = WriteSource(context.Background(), c, dir, t.TempDir(), &log)
	require.NoError(t, err, log.String())
	return binary, source
}

func TestFileAndPackageNamesAreThoseOfTheManual(t *testing.T) {
	c := sampleContent(t)
	binary, source := makeBoth(t, c)
	assert.Equal(t, "patch-redis-7.0.15-1-HP001-2-1.x86_64.rpm", filepath.Base(binary))
	assert.Equal(t, "redis-7.0.15-1-HP001-2-1.x86_64.src.rpm", filepath.Base(source))
	p, err := rpmfile.Open(source)
	require.NoError(t, err)
	assert.True(t, p.Source)
	assert.Equal(t, "redis-7.0.15-1-HP001-2-1", p.FullName())
	assert.Contains(t, rpmtest.Run(t, "rpm", "-K", "--nosignature", binary, source), "digests OK")
	assert.NotContains(t, rpmtest.Run(t, "rpm", "-K", "--nosignature", binary, source), "NOT OK")
}

// tags are what both ways of making the patch package must agree in.
var tags = map[string]string{
	"names":        "%{NAME} %|EPOCH?{%{EPOCH}}:{}| %{VERSION} %{RELEASE} %{ARCH} %{OS} %{LICENSE} %{GROUP} %{SOURCERPM} %{PAYLOADCOMPRESSOR}",
	"summary":      "%{SUMMARY}",
	"description":  "%{DESCRIPTION}",
	"requires":     "[%{REQUIRENAME} %{REQUIREFLAGS:depflags} %{REQUIREVERSION} %{REQUIREFLAGS:deptype}\n]",
	"obsoletes":    "[%{OBSOLETENAME} %{OBSOLETEFLAGS:depflags} %{OBSOLETEVERSION}\n]",
	"provides":     "[%{PROVIDENAME} %{PROVIDEFLAGS:depflags} %{PROVIDEVERSION}\n]",
	"conflicts":    "[%{CONFLICTNAME}\n][%{OBSOLETENAME}\n][%{RECOMMENDNAME}\n]",
	"files":        "[%{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILEDIGESTS} %{FILEFLAGS} %{FILEMTIMES}\n]",
	"posttrans":    "%{POSTTRANSPROG} %{POSTTRANS}",
	"preun":        "%{PREUNPROG} %{PREUN}",
	"no others":    "%{PREIN}%{POSTIN}%{POSTUN}%{PRETRANS}[%{TRIGGERSCRIPTS}]",
	"changelog":    "[%{CHANGELOGTIME} %{CHANGELOGNAME} %{CHANGELOGTEXT}\n]",
	"digest algo.": "%{FILEDIGESTALGO}",
}

func query(t *testing.T, path, format string) string {
	t.Helper()
	return rpmtest.Run(t, "rpm", "-qp", "--nosignature", "--qf", format, path)
}

// withoutFeatures sorts lines and drops the RPM features that a package needs
// because of who wrote it.
func withoutFeatures(text string) string {
	var kept []string
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if !strings.HasPrefix(line, "rpmlib(") {
			kept = append(kept, strings.TrimSpace(line))
		}
	}
	sort.Strings(kept)
	return strings.Join(kept, "\n")
}

func rebuild(t *testing.T, source string) string {
	t.Helper()
	top := t.TempDir()
	rpmtest.Run(t, "rpmbuild", "--rebuild", "--define", "_topdir "+top, source)
	made := rpmtest.Packages(t, top)
	require.Len(t, made, 1)
	for _, path := range made {
		return path
	}
	return ""
}

func TestRebuildOfTheSourcePackageGivesTheSamePatchPackage(t *testing.T) {
	c := sampleContent(t)
	packed, source := makeBoth(t, c)
	rebuilt := rebuild(t, source)
	assert.Equal(t, filepath.Base(packed), filepath.Base(rebuilt))
	for name, format := range tags {
		ours, theirs := query(t, packed, format), query(t, rebuilt, format)
		switch name {
		case "requires", "provides", "files":
			ours, theirs = withoutFeatures(ours), withoutFeatures(theirs)
		}
		assert.Equal(t, theirs, ours, name)
	}
	assert.NotContains(t, query(t, packed, "%{DESCRIPTION}"), "\n%files")
	assert.Contains(t, query(t, packed, "%{DESCRIPTION}"), "100% of %{clients} are")
	assert.NoFileExists(t, "/tmp/evil")
	provides := query(t, packed, tags["provides"])
	for _, want := range []string{
		"patch-redis-7.0.15-1-HP001 = 2-1", "syscare-target(redis) = 1:7.0.15-1", "syscare-patch(redis/HP001) = 2-1",
		"syscare-cve(CVE-2021-32675)", "syscare-cve(CVE-2022-24834)",
	} {
		assert.Contains(t, strings.Join(strings.Fields(provides), " "), want)
	}
	requires := withoutFeatures(query(t, packed, tags["requires"]))
	assert.Contains(t, requires, "redis >= 1:7.0.15-1")
	assert.Contains(t, requires, "/bin/sh")
	assert.Contains(t, requires, "syscare")
	files := query(t, packed, "[%{FILENAMES} %{FILEMODES:perms}\n]")
	assert.Contains(t, files, PatchRoot+"/"+c.Patch.UUID+" drwxr-xr-x")
	assert.Contains(t, files, "/patch.json -rw-r--r--")
}

func TestTheSameContentGivesTheSameBytes(t *testing.T) {
	c := sampleContent(t)
	b1, s1 := makeBoth(t, c)
	time.Sleep(1100 * time.Millisecond)
	b2, s2 := makeBoth(t, c)
	for _, pair := range [][2]string{{b1, b2}, {s1, s2}} {
		first, err := os.ReadFile(pair[0])
		require.NoError(t, err)
		second, err := os.ReadFile(pair[1])
		require.NoError(t, err)
		assert.True(t, bytes.Equal(first, second), "%s differs", pair[0])
	}
}

func TestTheUsersMacrosDoNotMoveTheSourcePackage(t *testing.T) {
	c, home := sampleContent(t), t.TempDir()
	put(t, filepath.Join(home, ".rpmmacros"), strings.ReplaceAll("%_topdir X\n%_sourcedir X\n%_srcrpmdir X\n%_specdir X\n", "X", filepath.Join(home, "elsewhere")))
	t.Setenv("HOME", home)
	makeBoth(t, c)
}

func TestOurSourcePackageIsReadBack(t *testing.T) {
	c := sampleContent(t)
	_, source := makeBoth(t, c)
	h, err := OpenHotpatchSource(context.Background(), source, t.TempDir())
	require.NoError(t, err)
	assert.Equal(t, c.Patch, h.Patch)
	require.Len(t, h.Patches, 2)
	for i := range h.Patches {
		assert.Equal(t, filepath.Base(c.Patches[i]), filepath.Base(h.Patches[i]), "in the order of application")
		want, err := os.ReadFile(c.Patches[i])
		require.NoError(t, err)
		got, err := os.ReadFile(h.Patches[i])
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	want, err := os.ReadFile(c.Source)
	require.NoError(t, err)
	got, err := os.ReadFile(h.Source)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want, got), "the pristine source package is inside")

	_, err = OpenHotpatchSource(context.Background(), h.Source, t.TempDir())
	require.ErrorIs(t, err, ErrNotHotpatchSource)

	// The next version has all three patch files.
	text := "--- third\n"
	c.Patch.Patches = append(h.Patch.Patches, metadata.SourcePatch{Name: "third.patch", Digest: sum(text)})
	c.Patches = append(h.Patches, put(t, filepath.Join(t.TempDir(), "third.patch"), text))
	c.Source, c.Patch.Version, c.Patch.Digest = h.Source, "3", c.Patch.ComputeDigest()
	_, source = makeBoth(t, c)
	h, err = OpenHotpatchSource(context.Background(), source, t.TempDir())
	require.NoError(t, err)
	assert.Len(t, h.Patches, 3)
	assert.Equal(t, "3", h.Patch.Version)
}

func TestContentThatCannotBePackagedIsRefused(t *testing.T) {
	for name, change := range map[string]func(*Content){
		"a patch object that changed":          func(c *Content) { put(t, c.Objects[0], "other") },
		"a patch file that changed":            func(c *Content) { put(t, c.Patches[0], "other") },
		"a missing patch object":               func(c *Content) { c.Objects = c.Objects[:1] },
		"a patch file not in the metadata":     func(c *Content) { c.Patches = append(c.Patches, c.Source) },
		"no license":                           func(c *Content) { c.Patch.License = "" },
		"a license of two lines":               func(c *Content) { c.Patch.License = "MIT\nRequires: evil" },
		"a time before 1970":                   func(c *Content) { c.BuildTime = time.Time{} },
		"metadata that breaks its rules":       func(c *Content) { c.Patch.UUID = "x" },
		"a patch file named like the metadata": func(c *Content) { c.Patch.Patches[0].Name = metadata.FileName },
		"a patch file with a blank":            func(c *Content) { c.Patch.Patches[0].Name = "a b.patch" },
		"a patch file with a macro":            func(c *Content) { c.Patch.Patches[0].Name = "%(id).patch" },
		"a patch file name twice":              func(c *Content) { c.Patch.Patches[0].Name = "a-second.patch" },
	} {
		t.Run(name, func(t *testing.T) {
			c := sampleContent(t)
			change(c)
			dir := t.TempDir()
			_, err := WriteSource(context.Background(), c, dir, t.TempDir(), &bytes.Buffer{})
			require.ErrorIs(t, err, ErrContent)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

func TestBuildTimeIsTheEnvironmentsOrTheSourcePackages(t *testing.T) {
	source := time.Unix(1600000000, 0)
	t.Setenv("SOURCE_DATE_EPOCH", "")
	got, err := BuildTime(source)
	require.NoError(t, err)
	assert.Equal(t, source.UTC(), got)
	t.Setenv("SOURCE_DATE_EPOCH", "1500000000")
	got, err = BuildTime(source)
	require.NoError(t, err)
	assert.Equal(t, time.Unix(1500000000, 0).UTC(), got)
	t.Setenv("SOURCE_DATE_EPOCH", "today")
	_, err = BuildTime(source)
	require.ErrorContains(t, err, "SOURCE_DATE_EPOCH")
}

func TestCVEsAreFoundOnceAndInOrder(t *testing.T) {
	assert.Equal(t, []string{"CVE-2014-0160", "CVE-2021-9999", "CVE-2021-32675"},
		FindCVEs("fix-cve-2014-0160.patch", "CVE-2021-32675, CVE-2021-9999 (CVE-2021-32675)", "CVE-2021-123 XCVE-2021-1234 CVE-2021-1234x"))
	assert.Empty(t, FindCVEs("", "no"))
}
