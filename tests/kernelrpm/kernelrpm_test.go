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
	p, err := Make(t.Context(), Stable, testLog{t})
	require.NoError(t, err)
	for _, path := range []string{p.SourceRPM, p.DebuginfoRPM} {
		_, err := os.Stat(path)
		require.NoError(t, err)
	}
	patch := filepath.Join(t.TempDir(), "a.patch")
	cmdline := func(text string) []Edit { return []Edit{{"fs/proc/cmdline.c", "", text}} }
	require.NoError(t, p.Patch(t.Context(), patch, cmdline("int a;\n"), cmdline("int b;\n")))
	text, err := os.ReadFile(patch)
	require.NoError(t, err)
	require.Regexp(t, `(?m)^--- a/fs/proc/cmdline\.c\n\+\+\+ b/fs/proc/cmdline\.c\n(?s:.*)\n\+int b;\n int a;\n`, string(text))
	require.Error(t, p.Patch(t.Context(), patch, nil, []Edit{{"fs/proc/cmdline.c", "no such text", ""}}))
	for _, fix := range Fixes {
		text, err := os.ReadFile(filepath.Join(p.Fixes, fix.Name+".patch"))
		require.NoError(t, err)
		require.Contains(t, string(text), "+++ b/"+fix.Files[0]+"\n")
	}
}
