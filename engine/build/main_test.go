package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var frontProgram string

func TestMain(m *testing.M) { os.Exit(withFront(m)) }

func withFront(m *testing.M) int {
	dir, err := os.MkdirTemp("", "syscare-build-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	frontProgram = filepath.Join(dir, "syscare-cc")
	cmd := exec.Command("go", "build", "-o", frontProgram, "../../cmd/syscare-cc")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// files is a small source tree: contents by relative path.
type files map[string]string

func (f files) write(t testing.TB, dir string) string {
	t.Helper()
	for name, text := range f {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return dir
}

// shell runs a script in dir.
func shell(t *testing.T, dir string, env []string, script string) {
	t.Helper()
	require.NoError(t, tryShell(dir, env, script))
}

func tryShell(dir string, env []string, script string) error {
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir, cmd.Env = dir, env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// record records a script in a fresh tree.
func record(t *testing.T, tree files, script string) (*Recording, string) {
	t.Helper()
	dir := tree.write(t, t.TempDir())
	r, err := Record(context.Background(), Options{WorkDir: t.TempDir(), Front: frontProgram}, func(_ context.Context, env []string) error {
		return tryShell(dir, env, script)
	})
	require.NoError(t, err)
	return r, dir
}

// program is a program of a main, two sources and a header.
var program = files{
	"main.c":   "#include \"value.h\"\n#include <stdio.h>\nint main(void) { printf(\"%d\\n\", one() + two()); return 0; }\n",
	"one.c":    "#include \"value.h\"\nint one(void) { return VALUE; }\n",
	"two.c":    "#include \"value.h\"\nint two(void) { return VALUE * 2; }\n",
	"value.h":  "#define VALUE 21\nint one(void);\nint two(void);\n",
	"Makefile": "CFLAGS = -O2 -g\nprog: main.o one.o two.o\n\t$(CC) -o $@ $^\n%.o: %.c\n\t$(CC) $(CFLAGS) -c -o $@ $<\n",
}
