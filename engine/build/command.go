package build

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// lockedWriter lets commands that run at once write to one log, each in one
// piece.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// NewLog lets commands that run at once write to w; nil drops what they write.
func NewLog(w io.Writer) io.Writer {
	if w == nil {
		w = io.Discard
	}
	return &lockedWriter{w: w}
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// RunCommand runs one command and logs it with its output.
func RunCommand(ctx context.Context, log io.Writer, dir string, env, argv []string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, env
	// The whole process group ends with the context: compilers have children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	output, err := cmd.CombinedOutput()
	if log != nil {
		if _, logErr := fmt.Fprintf(log, "+ cd %s && %s\n%s", dir, strings.Join(argv, " "), output); logErr != nil {
			return fmt.Errorf("build log: %w", logErr)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return &CommandError{Argv: argv, Dir: dir, Output: tail(output), Err: err}
	}
	return nil
}

// commandOutput runs one command for what it prints.
func commandOutput(ctx context.Context, argv []string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var said bytes.Buffer
	cmd.Stderr = &said
	output, err := cmd.Output()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", &CommandError{Argv: argv, Output: tail(said.Bytes()), Err: err}
	}
	return string(output), nil
}

// tail returns the last lines of a command's output.
func tail(output []byte) string {
	const lines = 15
	parts := strings.Split(string(bytes.TrimSpace(output)), "\n")
	if len(parts) > lines {
		parts = parts[len(parts)-lines:]
	}
	return shorten(strings.Join(parts, "\n"), 4000)
}
