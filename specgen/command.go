package specgen

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// tailLines is how much of a failed command's output its error repeats.
const tailLines = 15

// tail keeps the end of what is written to it.
type tail struct{ data []byte }

const tailBytes = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	if len(t.data) > 2*tailBytes {
		t.data = append(t.data[:0], t.data[len(t.data)-tailBytes:]...)
	}
	return len(p), nil
}

func (t *tail) lines() string {
	lines := strings.Split(string(bytes.TrimSpace(t.data)), "\n")
	return strings.Join(lines[max(len(lines)-tailLines, 0):], "\n")
}

// missingDependency matches what rpmbuild says below "Failed build
// dependencies".
var missingDependency = regexp.MustCompile(`(?m)^\t(.+) is needed by `)

// runCommand runs argv in a process group of its own, which ends with ctx, and
// appends the command and its output to log.
func runCommand(ctx context.Context, log io.Writer, env []string, argv ...string) error {
	if _, err := fmt.Fprintf(log, "+ %s\n", strings.Join(argv, " ")); err != nil {
		return fmt.Errorf("build log: %w", err)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	last := &tail{}
	cmd.Stdout = io.MultiWriter(last, log)
	cmd.Stderr = cmd.Stdout
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 3 * time.Second
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		if cmd.Process != nil { // what did not heed SIGTERM
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		return context.Cause(ctx)
	}
	if bytes.Contains(last.data, []byte("Failed build dependencies")) {
		missing := &MissingDependenciesError{}
		for _, match := range missingDependency.FindAllSubmatch(last.data, -1) {
			missing.Names = append(missing.Names, string(match[1]))
		}
		return missing
	}
	return &CommandError{Argv: argv, Tail: last.lines(), Err: err}
}

// directories are the options that keep rpmbuild within topdir, whatever the
// user's own macros say.
func directories(topdir string) []string {
	argv := []string{"--define", "_topdir " + topdir}
	for _, place := range []string{
		"_sourcedir SOURCES", "_specdir SPECS", "_builddir BUILD", "_srcrpmdir SRPMS", "_rpmdir RPMS", "_buildrootdir BUILDROOT",
	} {
		argv = append(argv, "--define", strings.Replace(place, " ", " %{_topdir}/", 1))
	}
	return argv
}
