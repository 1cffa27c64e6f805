package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	c, err := Parse([]byte(`
# Patches of these packages stay out.
blocked = ["glibc"]
skipped = ["/usr/sbin/trader"]
probation = "5m"
timeout = "500ms"
parallel = 2
idle = "0s"
on_install = "apply"
`))
	require.NoError(t, err)
	require.Equal(t, Config{
		Blocked: []string{"glibc"}, Skipped: []string{"/usr/sbin/trader"},
		Probation: Duration(5 * time.Minute), Timeout: Duration(500 * time.Millisecond), Parallel: 2, OnInstall: "apply",
	}, c)
	c, err = Parse(nil)
	require.NoError(t, err)
	require.Equal(t, Default(), c)
}

// What makes no sense is named with its line or key, and nothing of the file
// counts.
func TestParseErrors(t *testing.T) {
	for _, row := range []struct{ text, says string }{
		{"parallel = 2\n\nparallels = 3\n", `line 3: there is no key "parallels"`},
		{"[limits]\nparallel = 2\n", `line 1: there is no key "limits"`},
		{"parallel = \"many\"\n", "line 1, column 12: "},
		{"parallel = 2\nparallel\n", "line 2"},
		{"parallel = 0\n", "parallel: 0 is not between 1 and 1024"},
		{"timeout = \"soon\"\n", "line 1"},
		{"timeout = \"-1s\"\n", "negative"},
		{"timeout = \"0s\"\n", "timeout: "},
		{"probation = \"0s\"\n", "probation: want a time above zero"},
		{"skipped = [\"sh\"]\n", `skipped: "sh" is no absolute path`},
		{"blocked = [\"\"]\n", "blocked: "},
		{"on_install = \"always\"\n", `on_install: "always" is none of manual, apply and accept`},
	} {
		c, err := Parse([]byte(row.text))
		require.ErrorContains(t, err, row.says, row.text)
		require.Equal(t, Default(), c)
	}
}

func TestLoad(t *testing.T) {
	root := t.TempDir()
	c, err := Load(root)
	require.NoError(t, err)
	require.Equal(t, Default(), c, "no file")
	path := filepath.Join(root, Path)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte("parallel = 3\n"), 0o644))
	c, err = Load(root)
	require.NoError(t, err)
	require.Equal(t, 3, c.Parallel)
	require.NoError(t, os.Chmod(path, 0o666))
	_, err = Load(root)
	require.ErrorContains(t, err, "can be written by others")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o755))
	_, err = Load(root)
	require.ErrorContains(t, err, "is not a regular file")
}

func FuzzParse(f *testing.F) {
	f.Add("blocked = [\"a\"]\ntimeout = \"1s\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse([]byte(text))
		if err == nil {
			require.NoError(t, c.check())
		}
	})
}
