package tests

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A fix that adds a source file is built a second time by the package's own
// rules, and the new file's functions and data come with the patch.
func TestFixWithANewFile(t *testing.T) {
	packages := buildSmall(t, "1", "", "gcc -O2 -g -o small *.c")
	patch := fix(t, "return x >= limits.low && x <= limits.high;", "extern int looked_up(int); return looked_up(x);")
	text, err := os.ReadFile(patch)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(patch, append(text, `--- /dev/null
+++ b/lookup.c
@@ -0,0 +1,6 @@
+static int calls = 40;
+int looked_up(int x)
+{
+	calls += x > 0;
+	return calls;
+}
`...), 0o644))
	output := t.TempDir()
	must(t, "build", "--patch_name", "HP001", "--workdir", t.TempDir(), "--output", output,
		"--source", packages.source, "--debuginfo", packages.debuginfo, "--patch", patch)
	root := t.TempDir()
	install(t, root, packages.binary, patchRPM(t, output))

	cmd := exec.Command(filepath.Join(root, "usr/bin/small"))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := make(chan string, 1000)
	go func() {
		for in := bufio.NewScanner(out); in.Scan(); {
			lines <- in.Text()
		}
	}()
	says := func(want string) {
		t.Helper()
		for deadline := time.After(5 * time.Second); ; {
			select {
			case line := <-lines:
				if line == want {
					return
				}
			case <-deadline:
				require.Fail(t, "the program does not say "+want)
			}
		}
	}
	says("1")
	must(t, "--root", root, "apply", "HP001")
	says("41")
	says("42")
	must(t, "--root", root, "remove", "HP001")
	says("1")
}
