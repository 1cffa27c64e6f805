package user

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestSystemCallsSeeNothing(t *testing.T) {
	ctx := context.Background()
	program := pie.program(t, "restart.c")
	obj := pie.patch(t, program, "compute.c", "compute")
	r := start(t, program)
	for range 60 {
		_, err := Apply(ctx, r.Process, obj, Options{})
		require.NoError(t, err)
		r.eventually("last", 999+1)
		_, err = Remove(ctx, r.Process, obj.Info.UUID, Options{})
		require.NoError(t, err)
	}
	r.runsOn()
}

func TestStoppedProcessStaysStopped(t *testing.T) {
	program := pie.program(t, "target.c")
	obj := pie.patch(t, program, "patch.c", everything...)
	r := start(t, program, "calm", "4")
	require.NoError(t, syscall.Kill(r.PID, syscall.SIGSTOP))
	isStopped := func() bool {
		s, err := readStat(r.path("stat"))
		return err == nil && s.state == 'T'
	}
	require.Eventually(t, isStopped, time.Second, time.Millisecond)
	_, err := Apply(context.Background(), r.Process, obj, Options{})
	require.NoError(t, err)
	time.Sleep(20 * time.Millisecond)
	require.True(t, isStopped())
	before := r.long("rounds")
	time.Sleep(20 * time.Millisecond)
	require.Equal(t, before, r.long("rounds"))
	require.NoError(t, syscall.Kill(r.PID, syscall.SIGCONT))
	r.eventually("last", 1000)
	r.runsOn()
}

func TestTracedProcessNamesTheTracer(t *testing.T) {
	program := pie.program(t, "target.c")
	obj := pie.patch(t, program, "patch.c", everything...)
	r := start(t, program, "calm", "1")
	onThread(func() bool {
		require.NoError(t, seize(r.PID))
		done := make(chan error)
		go func() {
			_, err := Apply(context.Background(), r.Process, obj, Options{Timeout: time.Second})
			done <- err
		}()
		var traced ErrTraced
		require.ErrorAs(t, <-done, &traced)
		require.Positive(t, traced.Tracer)
		require.NotEmpty(t, traced.Comm)
		return false
	})
	r.runsOn()
}

func TestReusedPIDIsGone(t *testing.T) {
	program := pie.program(t, "target.c")
	obj := pie.patch(t, program, "patch.c", everything...)
	r := start(t, program, "calm", "1")
	p := r.Process
	p.StartTime--
	_, err := Apply(context.Background(), p, obj, Options{})
	require.ErrorIs(t, err, ErrGone{PID: r.PID})
	r.runsOn()
}

func TestProcessThatDies(t *testing.T) {
	program := pie.program(t, "target.c")
	obj := pie.patch(t, program, "patch.c", everything...)
	for i := range 30 {
		r := start(t, program, "busy", "4")
		go func() {
			time.Sleep(time.Duration(i) * 150 * time.Microsecond)
			_ = r.cmd.Process.Kill()
		}()
		began := time.Now()
		for {
			_, err := Apply(context.Background(), r.Process, obj, Options{})
			if err == nil {
				_, err = Remove(context.Background(), r.Process, obj.Info.UUID, Options{})
			}
			if err != nil {
				require.ErrorIs(t, err, ErrGone{PID: r.PID})
				break
			}
		}
		require.Less(t, time.Since(began), 3*time.Second)
		_ = r.cmd.Wait()
	}
}

// A tracer that dies while it has a thread borrowed leaves a thread that comes
// back by itself, with every register.
func TestBorrowedThreadComesBackByItself(t *testing.T) {
	for _, source := range []string{"target.c", "restart.c"} {
		program := pie.program(t, source)
		r := start(t, program, "busy", "2")
		for range 50 {
			s, err := openSession(context.Background(), r.Process, Options{})
			require.NoError(t, err)
			onThread(func() bool {
				tr := &tracer{proc: s.proc, tasks: s.tasks}
				require.NoError(t, tr.attach(r.PID))
				require.NoError(t, tr.stopOne(&tr.threads[0]))
				rm := &remote{session: s, tracer: tr, th: &tr.threads[0]}
				require.NoError(t, rm.enter())
				return false
			})
			time.Sleep(time.Millisecond)
			require.NoError(t, s.repair(context.Background(), nil))
			stubbed, err := s.entry.stubbed(s.mem)
			require.NoError(t, err)
			require.False(t, stubbed)
			s.close()
		}
		r.runsOn()
	}
}

func TestUnderDebugger(t *testing.T) {
	if _, err := exec.LookPath("gdb"); err != nil {
		t.Skip("gdb is not installed")
	}
	program := pie.program(t, "target.c")
	obj := pie.patch(t, program, "patch.c", everything...)
	r := start(t, program, "calm", "1")
	gdb := exec.Command("gdb", "-q", "-nx", "-batch", "-p", strconv.Itoa(r.PID), "-ex", "shell sleep 30")
	require.NoError(t, gdb.Start())
	defer func() { _ = gdb.Process.Kill(); _ = gdb.Wait() }()
	require.Eventually(t, func() bool {
		data, err := os.ReadFile(r.path("status"))
		return err == nil && !strings.Contains(string(data), "TracerPid:\t0\n")
	}, 10*time.Second, 5*time.Millisecond)
	_, err := Apply(context.Background(), r.Process, obj, Options{})
	require.ErrorAs(t, err, &ErrTraced{})
	require.ErrorContains(t, err, `"gdb"`)
}

func FuzzHeader(f *testing.F) {
	h := &header{
		state: Active, uuid: uuid.New(), rx: span{0x10000, 0x3000}, rw: span{0x13000, 0x1000}, code: span{0x11000, 0x100},
		target: "abcd", functions: []function{
			{name: "f", old: span{0x400000, 32}, new: span{0x11000, 16}, saved: make([]byte, 5), jump: make([]byte, 5)},
			{name: "f.cold", old: span{0x400100, 32}},
		},
	}
	good, err := h.encode()
	require.NoError(f, err)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := parseHeader(data, 0x10000); err == nil {
			again, err := got.encode()
			require.NoError(t, err)
			require.Len(t, again, headerSize(got.functions))
		}
	})
}

func TestNoRoomIsSaid(t *testing.T) {
	_, ok := place([]mapping{{start: 0, end: 1 << 46}}, span{1 << 45, 1 << 20}, 1<<20, 64<<10)
	require.False(t, ok)
}
