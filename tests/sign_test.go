package tests

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Packages come signed from the build, to rpmlint's content, and the build says so if
// they cannot be.
func TestBuildSigns(t *testing.T) {
	key, public := newKey(t)
	packages := buildSmall(t, "1", "", "gcc -O2 -g -o small *.c")
	patch := fix(t, "return x >= limits.low && x <= limits.high;", "return x > limits.low && x <= limits.high;")
	output := t.TempDir()
	args := func(key string) []string {
		return []string{"build", "--patch_name", "HP001", "--patch_description", "CVE-2026-1000: a limit", "--workdir", t.TempDir(), "--output", output, "--sign-key", key,
			"--source", packages.source, "--debuginfo", packages.debuginfo, "--patch", patch}
	}
	r := syscare(t, args("nobody@example.org")...)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "cannot sign the packages")
	empty, err := filepath.Glob(filepath.Join(output, "*.rpm"))
	require.NoError(t, err)
	require.Empty(t, empty)

	must(t, args(key)...)
	db := t.TempDir()
	tool(t, "rpmkeys", "--dbpath", db, "--import", public)
	made, err := filepath.Glob(filepath.Join(output, "*.rpm"))
	require.NoError(t, err)
	require.Len(t, made, 2)
	for _, path := range made {
		require.Contains(t, tool(t, "rpmkeys", "--dbpath", db, "-K", path), "digests signatures OK")
	}
	needTools(t, "rpmlint")
	require.Contains(t, tool(t, "rpmlint", append([]string{"--config", "../packaging/rpmlint-patches.toml"}, made...)...), " 0 errors, 0 warnings")
}
