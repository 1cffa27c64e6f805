package tests

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/live"
)

// answers is what the program says to each question without and with the fix.
var answers = []struct{ question, before, after string }{
	{"program", "11", "111"},
	{"library", "11", "21"},
	{"copied", "11", "21"},
	{"names", "98 35", "147 35"}, // only the right one of two functions named check
	{"switch", "7 8 6", "70 108 6"},
	{"cold", "cold 1 111", "cold 2 222"},
	{"imported", "9", "41"},
	{"recursive", "3", "8"},
}

// liveProgram compiles the program and makes the patch object of its fix.
func liveProgram(t *testing.T, flags ...string) (program, object string) {
	t.Helper()
	program, object, r := tryProgram(t, "gcc", flags...)
	require.Zero(t, r.code, r.stderr)
	return program, object
}

// tryProgram is liveProgram with any compiler, for a fix that may be refused.
func tryProgram(t *testing.T, compiler string, flags ...string) (program, object string, r result) {
	t.Helper()
	dir := t.TempDir()
	gcc := func(output string, args ...string) string {
		path := filepath.Join(dir, output)
		tool(t, compiler, append(append([]string{"-g", "-pthread"}, flags...), append(args, "-o", path)...)...)
		return path
	}
	sections := []string{"-ffunction-sections", "-fdata-sections", "-fno-common", "-c", "testdata/live.c"}
	main := gcc("live.o", "-c", "testdata/live.c")
	other := gcc("other.o", "-c", "testdata/other/live.c")
	program = gcc("live", "-Wl,--build-id", other, main)
	object = filepath.Join(dir, "patch.o")
	r = syscare(t, "diff", "--original", gcc("original.o", sections...), "--patched", gcc("patched.o", append(sections, "-DPATCHED")...),
		"--debuginfo", program, "--output", object)
	return program, object, r
}

// Programs of every kind take their fix while they run, and give it back.
func TestLivePrograms(t *testing.T) {
	for _, optimise := range []string{"-O0", "-O2", "-O3", "-Os"} {
		for _, mode := range [][]string{{"-fPIE", "-pie"}, {"-fPIC", "-pie"}, {"-fno-pie", "-no-pie"}} {
			for _, protection := range []string{"none", "full"} {
				flags := append([]string{optimise, "-fcf-protection=" + protection}, mode...)
				t.Run(optimise+mode[0]+" "+protection, func(t *testing.T) {
					program, object := liveProgram(t, flags...)
					takesFix(t, program, object)
				})
			}
		}
	}
}

// takesFix starts the program, fixes it while it runs, and takes the fix back.
func takesFix(t *testing.T, program, object string) {
	t.Helper()
	l := live.Start(t, exec.Command(program))
	text := l.Text(program)
	odd, thread := l.Number("odd"), l.Number("thread")
	for range 3 {
		for _, a := range answers {
			require.Equal(t, a.before, l.Ask(a.question), a.question)
		}
		must(t, "apply", "--object", object, "--pid", l.PID)
		for _, a := range answers {
			require.Equal(t, a.after, l.Ask(a.question), a.question)
		}
		require.Equal(t, odd+101+10000, l.Number("odd"), "variables named C and L kept their values")
		require.Equal(t, thread+1+1000, l.Number("thread"), "the thread kept its variable")
		require.Equal(t, 104, l.Number("added"), "new data starts afresh")
		require.Equal(t, 106, l.Number("added"), "and keeps its value")
		must(t, "remove", "--object", object, "--pid", l.PID)
		odd, thread = l.Number("odd"), l.Number("thread")
		require.Equal(t, text, l.Text(program), "every byte of the program's code is as it was")
	}
}

// New code is not taken away from under a thread that runs it, also in a
// helper that the old program does not have.
func TestRemoveWaitsForNewCode(t *testing.T) {
	program, object := liveProgram(t, "-O2")
	l := live.Start(t, exec.Command(program))
	must(t, "apply", "--object", object, "--pid", l.PID)
	l.Say("linger")
	time.Sleep(300 * time.Millisecond)
	busy := syscare(t, "remove", "--object", object, "--pid", l.PID, "--timeout", "300ms")
	require.Equal(t, 4, busy.code, busy.stderr)
	require.Contains(t, busy.stderr, "thread")
	must(t, "remove", "--object", object, "--pid", l.PID, "--timeout", "5s")
	require.Equal(t, "3", l.Answer())
	require.Equal(t, "11", l.Ask("program"))
}
