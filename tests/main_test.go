package tests

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/live"
)

// bin is the directory with the programs under test.
var bin string

func TestMain(m *testing.M) {
	status, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := live.BuildPrograms("..")
	if dir != "" {
		defer os.RemoveAll(dir)
	}
	if err != nil {
		return 0, err
	}
	bin = dir
	return m.Run(), nil
}

// result is what a program printed and how it ended.
type result struct {
	stdout, stderr string
	code           int
}

// command prepares a run of syscare.
func command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "syscare"), args...)
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(bin, "cache"))
	return cmd
}

// syscare runs one command line to its end.
func syscare(t testing.TB, args ...string) result {
	t.Helper()
	return finish(t, command(t, args...))
}

func finish(t testing.TB, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must runs a command line that has to succeed and gives its standard output.
func must(t testing.TB, args ...string) string {
	t.Helper()
	r := syscare(t, args...)
	require.Zero(t, r.code, "syscare %v\n%s%s", args, r.stdout, r.stderr)
	return r.stdout
}

// tool runs another program that has to succeed and gives its output.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	require.NoError(t, err, "%s %v\n%s", name, args, out)
	return string(out)
}

// needTools fails, or on a user's machine skips, where programs are missing.
func needTools(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") == "" {
				t.Skipf("needs %s", name)
			}
			require.NoError(t, err)
		}
	}
}
