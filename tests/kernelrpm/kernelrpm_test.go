package kernelrpm

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

func TestPackages(t *testing.T) {
	p, err := Make(t.Context(), testLog{t})
	require.NoError(t, err)
	for _, path := range []string{p.SourceRPM, p.DebuginfoRPM} {
		_, err := os.Stat(path)
		require.NoError(t, err)
	}
	patch := filepath.Join(t.TempDir(), "a.patch")
	require.NoError(t, p.Patch(t.Context(), patch, Edit{"fs/proc/cmdline.c", "", "int a;\n"}))
	text, err := os.ReadFile(patch)
	require.NoError(t, err)
	t.Log(string(text))
}
