package redisrpm

import (
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openeuler/syscare/tests/debian"
)

//go:embed testdata
var testdata embed.FS

// A Server is a redis-server of the packages that serves a socket until the
// test ends.
type Server struct {
	Process *os.Process
	bin     string
	socket  string
	logFile string
}

// Unpack puts the files of the RPM below dir, as an installation would.
func (p *Packages) Unpack(ctx context.Context, dir string) error {
	return debian.Run(ctx, dir, io.Discard, "sh", "-c", `rpm2cpio "$1" | cpio -idm --quiet`, "sh", p.RPM)
}

// StartServer starts root/usr/bin/redis-server with four I/O threads, with the
// library preload if it is not empty and with further options.
func StartServer(t testing.TB, root, preload string, options ...string) *Server {
	t.Helper()
	// The path of a socket is limited to 108 bytes; t.TempDir can be longer.
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{
		bin:     filepath.Join(root, "usr", "bin"),
		socket:  filepath.Join(dir, "socket"),
		logFile: filepath.Join(dir, "log"),
	}
	cmd := exec.Command(filepath.Join(s.bin, "redis-server"), append([]string{"--port", "0", "--unixsocket", s.socket,
		"--save", "", "--io-threads", "4", "--dir", dir, "--logfile", s.logFile}, options...)...)
	if preload != "" {
		cmd.Env = append(os.Environ(), "LD_PRELOAD="+preload)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.Process = cmd.Process
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		out := s.output("redis-cli", "PING")
		if strings.TrimSpace(out) == "PONG" {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("redis-server does not answer: %s", out)
		}
	}
}

// output runs a program of the package; a failure shows in what it printed.
func (s *Server) output(program string, args ...string) string {
	if program == "redis-cli" {
		args = append([]string{"-s", s.socket}, args...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s\n%v", out, err)
	}
	return string(out)
}

// Holds reports whether the check finds the server as the fix leaves it or,
// with fixed false, as it was before; if not, the error says what was found.
func (s *Server) Holds(check *Check, fixed bool) error {
	want := check.Before
	if fixed {
		want = check.After
	}
	if want == "" {
		return fmt.Errorf("%q is for fixed servers only", check.Command)
	}
	before, _ := os.Stat(s.logFile)
	out := s.output(check.Command[0], check.Command[1:]...)
	if !strings.Contains(out, want) {
		return fmt.Errorf("%s printed %q, want %q", check.Command[0], out, want)
	}
	if check.Log == "" {
		return nil
	}
	logged, err := os.ReadFile(s.logFile)
	if err != nil {
		return err
	}
	logged = logged[before.Size():]
	if strings.Contains(string(logged), check.Log) == fixed {
		return fmt.Errorf("fixed %v, and the server logged %q", fixed, logged)
	}
	return nil
}

// Library compiles the library that the check needs; "" if it needs none.
func (c *Check) Library(t testing.TB) string {
	t.Helper()
	if c.Preload == "" {
		return ""
	}
	dir := t.TempDir()
	source, library := filepath.Join(dir, c.Preload), filepath.Join(dir, "preload.so")
	text, err := testdata.ReadFile("testdata/" + c.Preload)
	if err == nil {
		err = os.WriteFile(source, text, 0o600)
	}
	if err == nil {
		err = debian.Run(t.Context(), dir, io.Discard, "gcc", "-O2", "-Wall", "-Werror", "-fPIC", "-shared", "-o", library, source)
	}
	if err != nil {
		t.Fatal(err)
	}
	return library
}

// Socket is the path of the server's Unix socket.
func (s *Server) Socket() string { return s.socket }
