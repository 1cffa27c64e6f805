package hotpatch

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The builds that have not been used for the longest time go first, and none that
// somebody uses.
func TestTrim(t *testing.T) {
	home := t.TempDir()
	names := []string{"oldest", "used", "newer", "newest"}
	for i, name := range names {
		dir := filepath.Join(home, name)
		require.NoError(t, os.Mkdir(dir, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "tree"), make([]byte, 1000), 0o600))
		path := filepath.Join(dir, cacheManifest)
		require.NoError(t, os.WriteFile(path, []byte("{}"), 0o600))
		when := time.Unix(int64(1000*i), 0)
		require.NoError(t, os.Chtimes(path, when, when))
	}
	lock, err := lockEntry(filepath.Join(home, "used"))
	require.NoError(t, err)
	require.NoError(t, trim(home, 1<<20))
	for _, name := range names {
		require.DirExists(t, filepath.Join(home, name))
	}
	size := diskUse(filepath.Join(home, "newest"))
	require.NoError(t, trim(home, 2*size))
	require.NoDirExists(t, filepath.Join(home, "oldest"))
	require.DirExists(t, filepath.Join(home, "used"))
	require.NoDirExists(t, filepath.Join(home, "newer"))
	require.DirExists(t, filepath.Join(home, "newest"))
	require.NoError(t, lock.Close())
	require.NoError(t, trim(home, 0))
	require.NoDirExists(t, filepath.Join(home, "used"))
}

// A build is used again only as long as nothing that it could have read is another.
func TestManifestHolds(t *testing.T) {
	tree, used := t.TempDir(), filepath.Join(t.TempDir(), "used.h")
	header := filepath.Join(tree, "sys", "header.h")
	require.NoError(t, os.Mkdir(filepath.Dir(header), 0o755))
	for _, path := range []string{header, used} {
		require.NoError(t, os.WriteFile(path, []byte("int a;\n"), 0o600))
	}
	marked := func() manifest {
		mark, err := markOf(used)
		require.NoError(t, err)
		return manifest{Uses: []fileMark{mark}, Trees: map[string]string{tree: treeDigest(tree), "/nowhere": treeDigest("/nowhere")}}
	}
	for name, change := range map[string]func() error{
		"a header of the system": func() error { return os.WriteFile(header, []byte("long a;\n"), 0o600) },
		"its time only":          func() error { return os.Chtimes(header, time.Now(), time.Now().Add(time.Second)) },
		"a new one":              func() error { return os.WriteFile(filepath.Join(tree, "new.h"), nil, 0o600) },
		"one that was named":     func() error { return os.WriteFile(used, []byte("int b, c;\n"), 0o600) },
		"one that is gone":       func() error { return os.Remove(used) },
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(used, []byte("int a;\n"), 0o600))
			m := marked()
			require.True(t, m.holds())
			require.NoError(t, change())
			require.False(t, m.holds())
		})
	}
}
