package user

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
)

// watching is a watcher in a process of its own, with one patch. (Whoever is
// parent and tracer of a process at once is given its stops by wait.)
type watching struct {
	t     testing.TB
	cmd   *exec.Cmd
	lines chan string
}

func watch(t testing.TB, how, path string, object []byte) *watching {
	t.Helper()
	needRoot(t)
	w := &watching{t: t, cmd: exec.Command("/proc/self/exe"), lines: make(chan string, 10_000)}
	w.cmd.Env = append(os.Environ(), workerVariable+"="+how+" "+path)
	path = filepath.Join(t.TempDir(), "patch.o")
	require.NoError(t, os.WriteFile(path, object, 0o600))
	stdin, err := os.Open(path)
	require.NoError(t, err)
	defer stdin.Close()
	w.cmd.Stdin, w.cmd.Stderr = stdin, os.Stderr
	out, err := w.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, w.cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan(), "it does not begin")
	require.Equal(t, "watching", lines.Text())
	go func() {
		defer close(w.lines)
		for lines.Scan() {
			w.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() { w.end() })
	return w
}

// end kills the watcher and returns what it has said.
func (w *watching) end() map[string]int {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
	said := map[string]int{}
	for line := range w.lines {
		said[line]++
	}
	return said
}

// watchAs is the watcher of a program that gets killed: it patches what starts
// with the patch object on its standard input, or never does anything.
func watchAs(how, program string) error {
	target, err := object.Open(program)
	if err != nil {
		return err
	}
	var obj *patchobject.Object
	if how == "watch" {
		if _, err := os.Stdin.Seek(0, io.SeekStart); err != nil {
			return err
		}
		raw, err := io.ReadAll(os.Stdin)
		if err != nil {
			return err
		}
		if obj, err = patchobject.Parse(raw); err != nil {
			return err
		}
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	w, err := NewWatcher(log, func(ctx context.Context, s Start) {
		if obj == nil {
			select {}
		}
		_, err := Apply(ctx, s.Process, obj, s.Options)
		var gone ErrGone
		switch {
		case errors.As(err, &gone), errors.Is(err, ErrAlready):
		case err != nil:
			fmt.Println("failed:", err)
		case s.Held:
			fmt.Println("held")
		default:
			fmt.Println("late")
		}
	})
	if err != nil {
		return err
	}
	if err := w.Set([]WatchedFile{{Path: program, BuildID: target.BuildID}}); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1, syscall.SIGUSR2)
	next := []string{"/proc/self/exe"}
	go func() {
		if <-asked == syscall.SIGUSR1 { // to one that knows nothing of it
			next = []string{"/bin/sleep", "60"}
		}
		w.HandOver()
		stop()
	}()
	fmt.Println("watching")
	if err := w.Run(ctx); err != nil {
		return err
	}
	return syscall.Exec(next[0], next, os.Environ())
}

// says runs a program and returns what it says.
func says(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// A program that starts while its patch is active runs patched code from its
// first own instruction.
func TestProgramsStartPatched(t *testing.T) {
	for _, f := range []flavour{pie, pieCET, nonPIE, static} {
		t.Run(f.name, func(t *testing.T) {
			program := f.program(t, "starts.c")
			require.Equal(t, "1 1\n", says(t, program))
			w := watch(t, "watch", program, f.patchBytes(t, program, "answer2.c", "answer"))
			const starts = 100
			for range starts {
				require.Equal(t, "2 2\n", says(t, program))
			}
			require.Equal(t, "2 2\n", says(t, program, "x", program), "by an exec in the program itself")
			require.Equal(t, map[string]int{"held": starts + 2}, w.end())
		})
	}
}

// So does a library that is loaded, at the start of a program or later.
func TestLibrariesLoadPatched(t *testing.T) {
	library := flavour{name: "library", compile: []string{"-fPIC"}, link: []string{"-shared"}}
	plugin := library.program(t, "plugin.c")
	loads := compile(t, "testdata/loads.c", "-ldl")
	linked := compile(t, "-Wl,--no-as-needed", "testdata/starts_linked.c", plugin)
	require.Equal(t, "1 1\n", says(t, loads, plugin))
	require.Equal(t, "1 1\n", says(t, linked))
	w := watch(t, "watch", plugin, library.patchBytes(t, plugin, "answer2.c", "answer"))
	for range 50 {
		require.Equal(t, "2 2\n", says(t, loads, plugin))
		require.Equal(t, "2 2\n", says(t, loads, plugin, "with a busy thread"))
		require.Equal(t, "2 2\n", says(t, linked), "loaded at the start of a program")
	}
	_, err := os.ReadFile(plugin) // who only reads it is left alone
	require.NoError(t, err)
	says(t, "cat", plugin)
	require.Equal(t, map[string]int{"held": 150}, w.end())
}

// A watcher that hands over to another program in its process misses nothing.
func TestHandOver(t *testing.T) {
	program := pie.program(t, "starts.c")
	w := watch(t, "watch", program, pie.patchBytes(t, program, "answer2.c", "answer"))
	const starts = 150
	for i := range starts {
		if i%10 == 0 {
			require.NoError(t, w.cmd.Process.Signal(syscall.SIGUSR2))
			time.Sleep(time.Duration(i) * 100 * time.Microsecond)
		}
		require.Equal(t, "2 2\n", says(t, program))
	}
	said := w.end()
	require.Equal(t, starts, said["held"], said)
	require.Greater(t, said["watching"], 10, "there have been many of them")
}

// Nothing that goes wrong holds a program up: it starts, patched or not.
func TestNoStartIsHeldUp(t *testing.T) {
	program := pie.program(t, "starts.c")
	obj := pie.patchBytes(t, program, "answer2.c", "answer")
	began := time.Now()
	require.Equal(t, "1 1\n", says(t, program))
	bare := time.Since(began)

	t.Run("the patch does not fit", func(t *testing.T) {
		other := pie.patchBytes(t, compile(t, "-O0", "-fPIE", "-pie", "testdata/starts.c"), "answer2.c", "answer")
		w := watch(t, "watch", program, other)
		require.Equal(t, "1 1\n", says(t, program))
		require.Len(t, w.end(), 1, "a failure")
	})
	t.Run("somebody else traces it", func(t *testing.T) {
		if _, err := exec.LookPath("gdb"); err != nil && os.Getenv("CI") == "" {
			t.Skip("needs gdb")
		}
		watch(t, "watch", program, obj)
		out := says(t, "gdb", "-q", "-batch", "-ex", "run", program)
		require.Contains(t, out, "exited normally")
	})
	t.Run("the exec fails", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "program")
		data, err := os.ReadFile(program)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, data, 0o700))
		watch(t, "watch", path, obj)
		require.NoError(t, os.WriteFile(path, []byte("no program"), 0o700))
		require.ErrorIs(t, exec.Command(path).Run(), syscall.ENOEXEC)
		require.NoError(t, os.WriteFile(path, data, 0o700))
		require.Equal(t, "2 2\n", says(t, path))
	})
	t.Run("the watcher is killed", func(t *testing.T) {
		for i := range 20 {
			w := watch(t, "watch", program, obj)
			started := exec.Command(program)
			output, err := started.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, started.Start())
			time.Sleep(time.Duration(i) * bare / 8)
			w.end()
			said := make([]byte, 10)
			n, err := output.Read(said)
			require.NoError(t, err)
			require.Contains(t, []string{"1 1\n", "2 2\n"}, string(said[:n]))
			require.NoError(t, started.Wait())
		}
	})
	t.Run("the watchdog is killed", func(t *testing.T) {
		w := watch(t, "watch", program, obj)
		children, err := exec.Command("pgrep", "-P", strconv.Itoa(w.cmd.Process.Pid)).Output()
		require.NoError(t, err)
		killed := 0
		for _, child := range strings.Fields(string(children)) {
			args, err := os.ReadFile("/proc/" + child + "/cmdline")
			require.NoError(t, err)
			if strings.HasPrefix(string(args), watchdogName) {
				pid, err := strconv.Atoi(child)
				require.NoError(t, err)
				require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
				killed++
			}
		}
		require.Equal(t, 1, killed)
		inARow := 0
		require.Eventually(t, func() bool {
			inARow++
			if says(t, program) != "2 2\n" { // not held while there is no watchdog
				inARow = 0
			}
			return inARow == 10
		}, 10*time.Second, 10*time.Millisecond, "there is another watchdog")
	})
	t.Run("the watcher hands over to nobody", func(t *testing.T) {
		w := watch(t, "watch", program, obj)
		require.NoError(t, w.cmd.Process.Signal(syscall.SIGUSR1))
		require.Eventually(t, func() bool { return says(t, program) == "1 1\n" }, 10*time.Second, time.Millisecond)
		require.Equal(t, syscall.SIGKILL, w.cmd.Wait().(*exec.ExitError).Sys().(syscall.WaitStatus).Signal())
	})
	t.Run("the watcher stands still", func(t *testing.T) {
		w := watch(t, "stuck", program, nil)
		require.Equal(t, "1 1\n", says(t, program), "the watchdog kills it")
		require.Equal(t, syscall.SIGKILL, w.cmd.Wait().(*exec.ExitError).Sys().(syscall.WaitStatus).Signal())
	})
}

// BenchmarkStart tells how much longer the start of a program takes that is
// patched on the way.
func BenchmarkStart(b *testing.B) {
	program := pie.program(b, "starts.c")
	obj := pie.patchBytes(b, program, "answer2.c", "answer")
	run := func(b *testing.B) time.Duration {
		b.Helper()
		began := time.Now()
		for b.Loop() {
			says(b, program)
		}
		return time.Since(began) / time.Duration(b.N)
	}
	var plain time.Duration
	b.Run("plain", func(b *testing.B) { plain = run(b) })
	b.Run("patched", func(b *testing.B) {
		watch(b, "watch", program, obj)
		patched := run(b)
		b.ReportMetric(float64((patched - plain).Microseconds()), "added-µs/start")
		b.ReportMetric(float64(patched)/float64(plain), "of-plain")
	})
}
