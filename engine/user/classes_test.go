package user

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Each kind of program that has broken some live patcher takes its patch and
// gives it back, many times, and never sees a wrong result.
func TestEveryKindOfProgram(t *testing.T) {
	ctx := context.Background()
	for _, row := range []struct {
		kind  string
		flags string // of the compiler
	}{
		{kind: "PLAIN"},
		{kind: "PAGE"},
		{kind: "REDZONE"},
		{kind: "CANCEL"},
		{kind: "SIGNALS"},
		{kind: "CHURN"},
		{kind: "FORKS"},
		{kind: "MDWE"},
		{kind: "SECCOMP"},
		{kind: "NAMESPACES"},
		{kind: "PLAIN", flags: "-Wl,-z,notext -mcmodel=large -fno-pic"}, // text relocations
	} {
		t.Run(strings.TrimSpace(row.kind+" "+row.flags), func(t *testing.T) {
			f := pie
			f.compile = append(slices.Clone(pie.compile), "-D"+row.kind)
			f.compile = append(f.compile, strings.Fields(row.flags)...)
			program := f.program(t, "classes.c")
			obj := pie.patch(t, program, "compute.c", "compute")
			r := start(t, program)
			text := r.text()
			for range 20 {
				_, err := Apply(ctx, r.Process, obj, Options{})
				require.NoError(t, err)
				r.eventually("last", 1000)
				r.runsOn()
				_, err = Remove(ctx, r.Process, obj.Info.UUID, Options{})
				require.NoError(t, err)
				r.eventually("last", 1)
				r.runsOn()
			}
			r.pristine(text)
		})
	}
}

// A thread that cannot be stopped is named after the deadline, and the program
// goes on.
func TestThreadThatDoesNotStop(t *testing.T) {
	f := pie
	f.compile = append(slices.Clone(pie.compile), "-DSTUCK")
	program := f.program(t, "classes.c")
	obj := pie.patch(t, program, "compute.c", "compute")
	r := start(t, program)
	began := time.Now()
	_, err := Apply(context.Background(), r.Process, obj, Options{Timeout: time.Second})
	var timeout ErrTimeout
	require.ErrorAs(t, err, &timeout)
	require.Less(t, time.Since(began), 4*time.Second)
	require.Eventually(t, func() bool { // its child ends
		_, err := Apply(context.Background(), r.Process, obj, Options{})
		return err == nil
	}, 20*time.Second, 100*time.Millisecond)
	r.eventually("last", 1000)
}

// A program that is frozen is not waited for.
func TestFrozenProgram(t *testing.T) {
	needRoot(t)
	group, err := os.MkdirTemp("/sys/fs/cgroup", "syscare-test")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("needs cgroup v2")
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.Remove(group) })
	program := pie.program(t, "target.c")
	obj := pie.patch(t, program, "patch.c", everything...)
	r := start(t, program, "calm", "3")
	put := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(group, name), []byte(text), 0o600))
	}
	put("cgroup.procs", r.path("")[len("/proc/"):len(r.path(""))-1])
	put("cgroup.freeze", "1")
	t.Cleanup(func() { _ = r.cmd.Process.Kill(); _ = r.cmd.Wait() })
	began := time.Now()
	_, err = Apply(context.Background(), r.Process, obj, Options{Timeout: 700 * time.Millisecond})
	took := time.Since(began)
	put("cgroup.freeze", "0")
	if err != nil { // a frozen thread stops for a tracer on some kernels
		var timeout ErrTimeout
		require.ErrorAs(t, err, &timeout)
		require.Less(t, took, 3*time.Second)
		_, err = Apply(context.Background(), r.Process, obj, Options{})
		require.NoError(t, err)
	}
	r.eventually("last", 1000)
	r.runsOn()
}

// A program that switches stacks by itself is refused: what is in progress on
// the others cannot be seen. With Force that is the user's to know.
func TestCoroutinesAreRefused(t *testing.T) {
	f := pie
	f.compile = append(slices.Clone(pie.compile), "-DCOROUTINES")
	program := f.program(t, "classes.c")
	obj := pie.patch(t, program, "compute.c", "compute")
	r := start(t, program)
	_, err := Apply(context.Background(), r.Process, obj, Options{})
	require.ErrorIs(t, err, ErrCoroutines)
	r.runsOn()
	r.eventually("last", 1)
	_, err = Apply(context.Background(), r.Process, obj, Options{Force: true})
	require.NoError(t, err)
	r.eventually("last", 1000)
}

// A library that is unloaded takes its patch with it; loaded again, it takes
// the patch again.
func TestLibraryThatComesBack(t *testing.T) {
	ctx := context.Background()
	library := flavour{name: "library", compile: []string{"-fPIC"}, link: []string{"-shared"}}
	plugin := library.program(t, "plugin.c")
	obj := library.patch(t, plugin, "answer2.c", "answer")
	program := compile(t, "testdata/reloads.c", "-ldl")
	cmd := exec.Command(program, plugin)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	needRoot(t)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	ask := func(command string) string {
		_, err := in.Write([]byte(command + "\n"))
		require.NoError(t, err)
		line := make([]byte, 100)
		n, err := out.Read(line)
		require.NoError(t, err)
		return strings.TrimSpace(string(line[:n]))
	}
	require.Equal(t, "11", ask("load"))
	p, err := Open(cmd.Process.Pid)
	require.NoError(t, err)
	for range 5 {
		_, err = Apply(ctx, p, obj, Options{})
		require.NoError(t, err)
		require.Equal(t, "12", ask("ask"))
		require.Equal(t, "0", ask("unload"))
		require.NotEqual(t, Active, state(t, p), "the code is gone")
		require.Equal(t, "11", ask("load"), "a fresh copy")
	}
	_, err = Apply(ctx, p, obj, Options{})
	require.NoError(t, err)
	require.Equal(t, "12", ask("ask"))
	_, err = Remove(ctx, p, obj.Info.UUID, Options{})
	require.NoError(t, err)
	require.Equal(t, "11", ask("ask"))
}

// A program that has changed its user and may not be looked at by it is patched
// like any other.
func TestSetUserIDProgram(t *testing.T) {
	needRoot(t)
	f := pie
	f.compile = append(slices.Clone(pie.compile), "-DPLAIN")
	built := f.program(t, "classes.c")
	obj := pie.patch(t, built, "compute.c", "compute")
	dir, err := os.MkdirTemp("/var/tmp", "syscare-test")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	program := filepath.Join(dir, "program")
	code, err := os.ReadFile(built)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(program, code, 0o755))
	require.NoError(t, os.Chown(program, 1234, 1234))
	require.NoError(t, os.Chmod(program, 0o755|os.ModeSetuid|os.ModeSetgid))
	cmd := exec.Command(program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	r := startCommand(t, cmd)
	status, err := os.ReadFile(r.path("status"))
	require.NoError(t, err)
	require.Contains(t, string(status), "Uid:\t65534\t1234\t1234\t1234")
	for range 20 {
		_, err := Apply(context.Background(), r.Process, obj, Options{})
		require.NoError(t, err)
		r.eventually("last", 1000)
		_, err = Remove(context.Background(), r.Process, obj.Info.UUID, Options{})
		require.NoError(t, err)
		r.eventually("last", 1)
	}
	r.runsOn()
}

// A program that may have no more memory is told so, and stays what it is.
func TestMemoryLimits(t *testing.T) {
	f := pie
	f.compile = append(slices.Clone(pie.compile), "-DPLAIN")
	program := f.program(t, "classes.c")
	obj := pie.patch(t, program, "compute.c", "compute")
	ctx := context.Background()
	t.Run("of its address space", func(t *testing.T) {
		r := start(t, program)
		text := r.text()
		var before unix.Rlimit
		require.NoError(t, unix.Prlimit(r.PID, unix.RLIMIT_AS, &unix.Rlimit{Cur: 4096, Max: unix.RLIM_INFINITY}, &before))
		_, err := Apply(ctx, r.Process, obj, Options{})
		require.ErrorIs(t, err, unix.ENOMEM)
		r.runsOn()
		r.pristine(text)
		require.NoError(t, unix.Prlimit(r.PID, unix.RLIMIT_AS, &before, nil))
		_, err = Apply(ctx, r.Process, obj, Options{})
		require.NoError(t, err)
		r.eventually("last", 1000)
		r.runsOn()
	})
	t.Run("of its control group", func(t *testing.T) {
		needRoot(t)
		parent, limit := "/sys/fs/cgroup", "memory.max"
		if _, err := os.Stat(parent + "/memory"); err == nil {
			parent, limit = parent+"/memory", "memory.limit_in_bytes"
		}
		group, err := os.MkdirTemp(parent, "syscare-test")
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.Remove(group) })
		put := func(name, text string) {
			require.NoError(t, os.WriteFile(filepath.Join(group, name), []byte(text), 0o600))
		}
		if _, err := os.Stat(filepath.Join(group, limit)); err != nil {
			if os.Getenv("CI") == "" {
				t.Skip("control groups do not limit memory here")
			}
			require.NoError(t, err)
		}
		r := start(t, program)
		t.Cleanup(func() { _ = r.cmd.Process.Kill(); _ = r.cmd.Wait() })
		text := r.text()
		put("cgroup.procs", strconv.Itoa(r.PID))
		put(limit, "65536")
		_, err = Apply(ctx, r.Process, obj, Options{})
		var noMemory ErrNoMemory
		require.ErrorAs(t, err, &noMemory)
		require.Equal(t, "/"+filepath.Base(group), noMemory.Group)
		r.runsOn()
		r.pristine(text)
		put(limit, "67108864")
		_, err = Apply(ctx, r.Process, obj, Options{})
		require.NoError(t, err)
		r.eventually("last", 1000)
		r.runsOn()
	})
}
