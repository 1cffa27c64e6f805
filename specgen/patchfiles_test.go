package specgen

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/specgen/internal/rpmtest"
)

// Patches as people keep them: in a series, compressed with anything.
func TestPatchFiles(t *testing.T) {
	dir, plain := t.TempDir(), t.TempDir()
	write := func(name, text string) string { return put(t, filepath.Join(dir, name), text) }
	one, two := write("1.patch", "one"), write("sub/2.patch", "two")
	want := map[string]string{}
	var compressed []string
	for command, suffix := range map[string]string{"gzip": ".gz", "xz": ".xz", "bzip2": ".bz2", "zstd -q --rm": ".zst"} {
		rpmtest.Need(t, strings.Fields(command)[0])
		name := "with" + suffix[1:] + ".patch"
		write(name, suffix)
		rpmtest.Run(t, "sh", "-c", command+" "+filepath.Join(dir, name))
		compressed = append(compressed, filepath.Join(dir, name+suffix))
		want[filepath.Join(plain, name)] = suffix
	}
	series := write("series", "# fixes\n1.patch\n\nsub/2.patch -p0 # an option\n")
	files, err := PatchFiles(append([]string{series}, compressed...), plain)
	require.NoError(t, err)
	assert.Equal(t, []string{one, two}, files[:2])
	require.Len(t, files, 2+len(want))
	for _, file := range files[2:] {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, want[file], string(text))
	}

	for name, text := range map[string]string{"outside": "../1.patch\n", "absolute": "/etc/passwd\n", "nothing": "# empty\n", "missing": "3.patch\n", "directory": "sub\n"} {
		_, err := PatchFiles([]string{write(filepath.Join(name, "series"), text)}, plain)
		require.Error(t, err, name)
	}
	_, err = PatchFiles([]string{write("torn.patch.gz", "not compressed")}, plain)
	require.Error(t, err)
	_, err = PatchFiles(compressed[:1], plain)
	require.Error(t, err, "two patches of one name")
}
