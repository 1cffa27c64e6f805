package tests

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/redisrpm"
)

// The packages are named, laid out and linked to their target as the manual
// says, and the source package makes the next version.
func TestPackages(t *testing.T) {
	packages := redisrpm.Require(t)
	output := buildPatch(t, packages, "CVE-2025-32023")
	binary := filepath.Join(output, "patch-redis-7.0.15-1-HP001-1-1.x86_64.rpm")
	source := filepath.Join(output, "redis-7.0.15-1-HP001-1-1.x86_64.src.rpm")
	require.FileExists(t, binary)
	require.FileExists(t, source)
	query := func(args ...string) string { return tool(t, "rpm", append(args, binary)...) }

	t.Run("tags", func(t *testing.T) {
		info := query("-qpi")
		for _, line := range []string{"Name        : patch-redis-7.0.15-1-HP001", "Version     : 1", "Release     : 1", "Architecture: x86_64"} {
			require.Contains(t, info, line)
		}
		require.Regexp(t, `(?m)^/usr/lib/syscare/patches/[0-9a-f-]{36}/patch\.json$`, query("-qpl"))
		relations := query("-qp", "--requires", "--provides")
		for _, line := range []string{
			"redis >= 7.0.15-1", "syscare-target(redis) = 7.0.15-1", "syscare-patch(redis/HP001) = 1-1", "syscare-cve(CVE-2025-32023)",
		} {
			require.Contains(t, relations, line)
		}
		require.NotContains(t, relations, "redis = ", "a cold update of the target must stay possible")
		require.Contains(t, tool(t, "rpm", "-K", "--nosignature", binary), "OK")
	})

	t.Run("installation", func(t *testing.T) {
		root := t.TempDir()
		install(t, root, packages.RPM, binary)
		found, err := filepath.Glob(filepath.Join(root, "usr/lib/syscare/patches/*/patch.json"))
		require.NoError(t, err)
		require.Len(t, found, 1)
		uuid := filepath.Base(filepath.Dir(found[0]))

		info := must(t, "--root", root, "info", "redis-7.0.15-1/HP001-1-1")
		for _, line := range []string{
			"uuid:        " + uuid, "name:        HP001", "version:     1", "release:     1", "arch:        x86_64",
			"type:        UserPatch", "target:      redis-7.0.15-1", "target_elf:  redis-server", "license:     BSD",
			"description: ", "patch:",
		} {
			require.Contains(t, info, line)
		}
		for _, id := range []string{uuid, "redis-7.0.15-1/HP001-1-1", "redis-7.0.15-1/HP001", "HP001-1-1", "HP001"} {
			require.Equal(t, "redis-7.0.15-1/HP001-1-1: NOT-APPLIED\n", must(t, "--root", root, "status", id))
		}
		list := strings.Split(must(t, "--root", root, "list"), "\n")
		require.Equal(t, []string{"Uuid", "Name", "Status"}, strings.Fields(list[0]))
		require.Equal(t, []string{uuid, "redis-7.0.15-1/HP001-1-1", "NOT-APPLIED"}, strings.Fields(list[1]))

		unknown := syscare(t, "--root", root, "status", "HP002")
		require.Equal(t, 3, unknown.code)
		require.Contains(t, unknown.stderr, "HP002")
	})

	t.Run("the source package builds the patch package", func(t *testing.T) {
		top := t.TempDir()
		tool(t, "rpmbuild", "--define", "_topdir "+top, "--nodeps", "--rebuild", source)
		rebuilt, err := filepath.Glob(filepath.Join(top, "RPMS/x86_64/patch-redis-7.0.15-1-HP001-1-1.x86_64.rpm"))
		require.NoError(t, err)
		require.Len(t, rebuilt, 1)
	})

	t.Run("the source package and another fix make the next version", func(t *testing.T) {
		second := secondVersion(t, packages)
		root := t.TempDir()
		install(t, root, packages.RPM, second)
		info := must(t, "--root", root, "info", "HP001")
		require.Contains(t, info, "CVE-2025-32023")
		require.Contains(t, info, "CVE-2025-49844")
		require.Contains(t, info, "version:     2")
	})

	t.Run("the same input gives the same bytes", func(t *testing.T) {
		again := t.TempDir()
		runBuild(t, packages, again, "CVE-2025-32023")
		for _, path := range []string{binary, source} {
			tool(t, "cmp", path, filepath.Join(again, filepath.Base(path)))
		}
	})
}
