package kernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// compile makes an object that says of itself what a module would.
func compile(t testing.TB, information ...string) string {
	t.Helper()
	dir := t.TempDir()
	text := `static const char modinfo[] __attribute__((section(".modinfo"), used)) = "` + strings.Join(information, `\0`) + `";`
	source, path := filepath.Join(dir, "module.c"), filepath.Join(dir, "module.ko")
	require.NoError(t, os.WriteFile(source, []byte(text), 0o600))
	out, err := exec.Command("gcc", "-c", source, "-o", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

func TestOpen(t *testing.T) {
	path := compile(t, "license=GPL", "livepatch=Y", "name=fix_1", "vermagic=6.1.0-9-amd64 SMP mod_unload")
	m, err := Open(path)
	require.NoError(t, err)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, &Module{Name: "fix_1", Release: "6.1.0-9-amd64", data: data}, m)
	require.NoError(t, os.WriteFile(path, append(data, "..."+signature...), 0o600))
	m, err = Open(path)
	require.NoError(t, err)
	assert.True(t, m.Signed)
}

func TestOpenRefuses(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.ko")
	require.NoError(t, os.WriteFile(text, []byte("a text"), 0o600))
	plain := filepath.Join(t.TempDir(), "plain.ko")
	out, err := exec.Command("gcc", "-c", "-x", "c", "/dev/null", "-o", plain).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for name, path := range map[string]string{
		"a text": text, "a directory": t.TempDir(), "an object": plain,
		"another module":         compile(t, "name=ext4", "vermagic=6.1.0 SMP"),
		"one that says no":       compile(t, "name=fix", "livepatch=N", "vermagic=6.1.0 SMP"),
		"a name that leads away": compile(t, "name=../../fix", "livepatch=Y", "vermagic=6.1.0 SMP"),
		"no name":                compile(t, "livepatch=Y"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(path)
			require.ErrorIs(t, err, ErrNotLivepatch)
			require.ErrorContains(t, err, path)
		})
	}
	_, err = Open("/nonexistent.ko")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A name never leads out of the directories of the kernel.
func TestStateOfNames(t *testing.T) {
	for _, name := range []string{"", "..", "a/b", "../module", strings.Repeat("a", 56)} {
		_, err := StateOf(name)
		require.ErrorIs(t, err, ErrNotLivepatch, name)
	}
}

func FuzzModule(f *testing.F) {
	data, err := os.ReadFile(compile(f, "livepatch=Y", "name=fix", "vermagic=6.1.0 SMP"))
	require.NoError(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Read(data)
		if err == nil {
			require.Regexp(t, moduleName, m.Name)
		}
	})
}
