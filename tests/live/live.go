// Package live builds the programs under test and runs others that are patched
// while they answer questions. It is for tests, and has no tests of its own.
package live

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// BuildPrograms builds the commands of the module, whose root is given, into a
// new directory.
func BuildPrograms(root string) (dir string, err error) {
	dir, err = os.MkdirTemp("", "syscare-tests")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/", "./cmd/syscare", "./cmd/syscared", "./cmd/syscare-cc", "./cmd/syscare-hook")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("build the programs under test: %w\n%s", err, out)
	}
	return dir, nil
}

// Process is a running program that answers questions, a line for a line.
type Process struct {
	PID string

	t     testing.TB
	in    io.Writer
	lines *bufio.Scanner
}

// Start runs a command that says "ready" when it listens. It is killed when
// the test ends.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
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
	p := &Process{t: t, PID: strconv.Itoa(cmd.Process.Pid), in: in, lines: bufio.NewScanner(out)}
	require.Equal(t, "ready", p.Answer())
	return p
}

// Say asks a question.
func (p *Process) Say(question string) {
	p.t.Helper()
	_, err := io.WriteString(p.in, question+"\n")
	require.NoError(p.t, err)
}

// Answer waits for the next line.
func (p *Process) Answer() string {
	p.t.Helper()
	require.True(p.t, p.lines.Scan(), "the program ended: %v", p.lines.Err())
	return p.lines.Text()
}

// Ask asks a question and waits for the answer.
func (p *Process) Ask(question string) string {
	p.t.Helper()
	p.Say(question)
	return p.Answer()
}

// Number asks a question whose answer is a number.
func (p *Process) Number(question string) int {
	p.t.Helper()
	n, err := strconv.Atoi(p.Ask(question))
	require.NoError(p.t, err)
	return n
}

// Text reads the executable mapping of the program from the process.
func (p *Process) Text(program string) []byte {
	p.t.Helper()
	maps, err := os.Open("/proc/" + p.PID + "/maps")
	require.NoError(p.t, err)
	defer maps.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		var start, end int64
		var mode, offset, device, inode, path string
		n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s %s %s %s %s", &start, &end, &mode, &offset, &device, &inode, &path)
		if n == 7 && mode == "r-xp" && path == program {
			mem, err := os.Open("/proc/" + p.PID + "/mem")
			require.NoError(p.t, err)
			defer mem.Close()
			text := make([]byte, end-start)
			_, err = mem.ReadAt(text, start)
			require.NoError(p.t, err)
			return text
		}
	}
	require.Fail(p.t, "the program maps no code")
	return nil
}
