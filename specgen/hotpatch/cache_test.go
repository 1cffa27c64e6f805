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
