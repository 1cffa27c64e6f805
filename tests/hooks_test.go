package tests

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/live"
)

// hooksProgram compiles the server and makes the patch object of its fix.
func hooksProgram(t *testing.T, hook string) (program, object string) {
	t.Helper()
	dir := t.TempDir()
	compile := func(output string, args ...string) string {
		path := filepath.Join(dir, output)
		tool(t, "gcc", append([]string{"-O2", "-g", "-pthread", "-I../engine/build", "testdata/hooks.c", "-DHOOK=" + hook, "-o", path}, args...)...)
		return path
	}
	program, object = compile("hooks", "-Wl,--build-id"), filepath.Join(dir, "patch.o")
	sections := []string{"-ffunction-sections", "-fdata-sections", "-c"}
	must(t, "diff", "--original", compile("original.o", sections...), "--patched", compile("patched.o", append(sections, "-DPATCHED")...),
		"--debuginfo", program, "--output", object)
	return program, object
}

func TestHooksAndShadowData(t *testing.T) {
	program, object := hooksProgram(t, "0")
	l := live.Start(t, exec.Command(program))
	text := l.Text(program)
	require.Equal(t, "19", l.Ask("withdraw 1"))
	for range 10 {
		must(t, "apply", "--object", object, "--pid", l.PID)
		require.Equal(t, "12", l.Ask("events"), "before and after switching on")
		must(t, "remove", "--object", object, "--pid", l.PID)
		require.Equal(t, "34", l.Ask("events"), "before and after switching off")
		require.Equal(t, text, l.Text(program))
	}
	must(t, "apply", "--object", object, "--pid", l.PID)
	require.Equal(t, "18001", l.Ask("withdraw 1"))
	require.Equal(t, "29001", l.Ask("withdraw 2"))
	require.Equal(t, "17002", l.Ask("withdraw 1"), "each account has a counter of its own")
	require.Equal(t, "0", l.Ask("wrong"), "no thread lost a register")
}

// A hook that refuses, crashes or does not end leaves the process as it was.
func TestHooksThatFail(t *testing.T) {
	for _, row := range []struct{ hook, says string }{
		{"1", "pre_apply hook refused: it returned 7"},
		{"2", "pre_apply hook failed with signal 11"},
		{"3", "pre_apply hook takes longer than 200ms"},
	} {
		t.Run(row.says, func(t *testing.T) {
			program, object := hooksProgram(t, row.hook)
			l := live.Start(t, exec.Command(program))
			text := l.Text(program)
			for range 3 {
				r := syscare(t, "apply", "--object", object, "--pid", l.PID)
				require.Equal(t, 5, r.code, r.stderr)
				require.Contains(t, r.stderr, row.says)
				require.Equal(t, text, l.Text(program))
				if row.hook == "3" { // it goes on and finds back by itself
					require.Eventually(t, func() bool { return l.Number("events")%10 == 9 }, 5*time.Second, 50*time.Millisecond)
				}
			}
			require.Equal(t, "9", l.Ask("withdraw 0"))
			require.Equal(t, "0", l.Ask("wrong"))
			before := l.Number("rounds")
			require.Eventually(t, func() bool { return l.Number("rounds") > before }, 5*time.Second, 10*time.Millisecond)
		})
	}
}

// Whoever dies while a hook runs leaves a process that goes on.
func TestKilledDuringAHook(t *testing.T) {
	program, object := hooksProgram(t, "3")
	l := live.Start(t, exec.Command(program))
	text := l.Text(program)
	ended := 0
	for delay := 50 * time.Millisecond; delay < 500*time.Millisecond; delay += 75 * time.Millisecond {
		cmd := command(t, "apply", "--object", object, "--pid", l.PID)
		require.NoError(t, cmd.Start())
		time.Sleep(delay)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		// Where the hook has begun, it comes to its end.
		begun := false
		for deadline := time.Now().Add(1500 * time.Millisecond); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			switch l.Number("events") % 10 {
			case 1:
				begun = true
			case 9:
				begun, ended = false, ended+1
			}
		}
		require.False(t, begun, "the hook did not come to its end")
		require.Equal(t, text, l.Text(program))
		require.Equal(t, "0", l.Ask("wrong"))
	}
	require.Positive(t, ended, "no hook was running when we died")
}
