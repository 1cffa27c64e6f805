package tests

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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

// live is a running program that answers questions.
type live struct {
	t     *testing.T
	pid   string
	in    io.Writer
	lines *bufio.Scanner
}

func startLive(t *testing.T, program string) *live {
	t.Helper()
	return startCommand(t, exec.Command(program))
}

func startCommand(t *testing.T, cmd *exec.Cmd) *live {
	t.Helper()
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	l := &live{t: t, pid: strconv.Itoa(cmd.Process.Pid), in: in, lines: bufio.NewScanner(out)}
	require.Equal(t, "ready", l.answer())
	return l
}

func (l *live) say(question string) {
	l.t.Helper()
	_, err := io.WriteString(l.in, question+"\n")
	require.NoError(l.t, err)
}

func (l *live) answer() string {
	l.t.Helper()
	require.True(l.t, l.lines.Scan(), "the program ended: %v", l.lines.Err())
	return l.lines.Text()
}

func (l *live) ask(question string) string {
	l.t.Helper()
	l.say(question)
	return l.answer()
}

// number asks a question whose answer is a number.
func (l *live) number(question string) int {
	l.t.Helper()
	n, err := strconv.Atoi(l.ask(question))
	require.NoError(l.t, err)
	return n
}

// liveProgram compiles the program and makes the patch object of its fix.
func liveProgram(t *testing.T, flags ...string) (program, object string) {
	t.Helper()
	dir := t.TempDir()
	gcc := func(output string, args ...string) string {
		path := filepath.Join(dir, output)
		tool(t, "gcc", append(append([]string{"-g", "-pthread"}, flags...), append(args, "-o", path)...)...)
		return path
	}
	sections := []string{"-ffunction-sections", "-fdata-sections", "-fno-common", "-c", "testdata/live.c"}
	main := gcc("live.o", "-c", "testdata/live.c")
	other := gcc("other.o", "-c", "testdata/other/live.c")
	program = gcc("live", "-Wl,--build-id", other, main)
	object = filepath.Join(dir, "patch.o")
	must(t, "diff", "--original", gcc("original.o", sections...), "--patched", gcc("patched.o", append(sections, "-DPATCHED")...),
		"--debuginfo", program, "--output", object)
	return program, object
}

// Programs of every kind take their fix while they run, and give it back.
func TestLivePrograms(t *testing.T) {
	for _, optimise := range []string{"-O0", "-O2", "-O3", "-Os"} {
		for _, mode := range [][]string{{"-fPIE", "-pie"}, {"-fPIC", "-ftls-model=local-exec", "-pie"}, {"-fno-pie", "-no-pie"}} {
			for _, protection := range []string{"none", "full"} {
				flags := append([]string{optimise, "-fcf-protection=" + protection}, mode...)
				t.Run(optimise+mode[0]+" "+protection, func(t *testing.T) {
					program, object := liveProgram(t, flags...)
					l := startLive(t, program)
					text := textOf(t, l.pid, program)
					odd, thread := l.number("odd"), l.number("thread")
					for range 3 {
						for _, a := range answers {
							require.Equal(t, a.before, l.ask(a.question), a.question)
						}
						must(t, "apply", "--object", object, "--pid", l.pid)
						for _, a := range answers {
							require.Equal(t, a.after, l.ask(a.question), a.question)
						}
						require.Equal(t, odd+101+10000, l.number("odd"), "variables named C and L kept their values")
						require.Equal(t, thread+1+1000, l.number("thread"), "the thread kept its variable")
						require.Equal(t, 104, l.number("added"), "new data starts afresh")
						require.Equal(t, 106, l.number("added"), "and keeps its value")
						must(t, "remove", "--object", object, "--pid", l.pid)
						odd, thread = l.number("odd"), l.number("thread")
						require.Equal(t, text, textOf(t, l.pid, program), "every byte of the program's code is as it was")
					}
				})
			}
		}
	}
}

// textOf reads the executable mapping of the program from the process.
func textOf(t *testing.T, pid, program string) []byte {
	t.Helper()
	maps, err := os.Open("/proc/" + pid + "/maps")
	require.NoError(t, err)
	defer maps.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		var start, end int64
		var mode, offset, device, inode, path string
		n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s %s %s %s %s", &start, &end, &mode, &offset, &device, &inode, &path)
		if n == 7 && mode == "r-xp" && path == program {
			mem, err := os.Open("/proc/" + pid + "/mem")
			require.NoError(t, err)
			defer mem.Close()
			text := make([]byte, end-start)
			_, err = mem.ReadAt(text, start)
			require.NoError(t, err)
			return text
		}
	}
	require.Fail(t, "the program maps no code")
	return nil
}

// New code is not taken away from under a thread that runs it, also in a
// helper that the old program does not have.
func TestRemoveWaitsForNewCode(t *testing.T) {
	program, object := liveProgram(t, "-O2")
	l := startLive(t, program)
	must(t, "apply", "--object", object, "--pid", l.pid)
	l.say("linger")
	time.Sleep(300 * time.Millisecond)
	busy := syscare(t, "remove", "--object", object, "--pid", l.pid, "--timeout", "300ms")
	require.Equal(t, 4, busy.code, busy.stderr)
	require.Contains(t, busy.stderr, "thread")
	must(t, "remove", "--object", object, "--pid", l.pid, "--timeout", "5s")
	require.Equal(t, "3", l.answer())
	require.Equal(t, "11", l.ask("program"))
}
