package user

import (
	"context"
	"encoding/binary"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// sample makes a record as the kernel writes it.
func sample(pid int32, signal int32, kind uint64, stack []uint64, filled uint64) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, uint32(pid))
	b = le.AppendUint32(b, uint32(pid))
	b = le.AppendUint32(b, 44)
	raw := make([]byte, 44)
	le.PutUint32(raw[signalOffset:], uint32(signal))
	b = append(b, raw...)
	b = le.AppendUint64(b, kind)
	if kind != 0 {
		b = le.AppendUint64(b, 0x7ffd0000)
		b = le.AppendUint64(b, 0x401126)
	}
	b = le.AppendUint64(b, uint64(8*len(stack)))
	for _, w := range stack {
		b = le.AppendUint64(b, w)
	}
	if len(stack) > 0 {
		b = le.AppendUint64(b, filled)
	}
	return b
}

func TestParseSample(t *testing.T) {
	whole := sample(42, 6, registersOf64Bit, []uint64{1, 2, 3}, 16)
	for _, row := range []struct {
		name string
		data []byte
		want Crash
	}{
		{"with a stack that is filled in part", whole, Crash{PID: 42, Signal: unix.SIGABRT, Address: 0x401126, Stack: []uint64{1, 2}}},
		{"without a stack", append(sample(7, 11, registersOf64Bit, nil, 0), make([]byte, 8)...), Crash{PID: 7, Signal: unix.SIGSEGV, Address: 0x401126}},
		{"that claims more than there is", sample(42, 6, registersOf64Bit, []uint64{1}, 1<<60), Crash{PID: 42, Signal: unix.SIGABRT, Address: 0x401126, Stack: []uint64{1}}},
		{"of a kernel thread", sample(42, 6, 0, nil, 0), Crash{}},
		{"cut short", whole[:70], Crash{}},
		{"empty", nil, Crash{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := parseSample(row.data)
			if row.want.PID == 0 {
				require.ErrorIs(t, err, errSample)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, got)
		})
	}
}

func FuzzParseSample(f *testing.F) {
	f.Add(sample(42, 6, registersOf64Bit, []uint64{1, 2, 3}, 16))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseSample(data)
		if err == nil {
			require.LessOrEqual(t, 8*len(c.Stack), len(data))
		}
	})
}

// The kernel tells of each process that dies by a fault of its own, and of no
// other.
func TestCrashIsSeen(t *testing.T) {
	needRoot(t)
	program := compile(t, "testdata/crash.c")
	ctx, cancel := context.WithCancel(context.Background())
	crashes, done := make(chan Crash, 1000), make(chan error)
	go func() { done <- WatchCrashes(ctx, func(c Crash) { crashes <- c }) }()
	time.Sleep(200 * time.Millisecond)
	pids := map[int]string{}
	for _, how := range []string{"segv", "handled", "ill", "sent", "abrt"} { // the last one is seen
		cmd := exec.Command(program, how)
		_ = cmd.Run()
		pids[cmd.Process.Pid] = how
	}
	seen := map[string]unix.Signal{}
	for seen["abrt"] == 0 {
		select {
		case c := <-crashes:
			if how := pids[c.PID]; how != "" {
				seen[how] = c.Signal
				require.NotZero(t, c.Address)
				require.NotEmpty(t, c.Stack)
			}
		case <-time.After(5 * time.Second):
			require.Fail(t, "the kernel says nothing of a crash")
		}
	}
	cancel()
	require.NoError(t, <-done)
	require.Equal(t, map[string]unix.Signal{"segv": unix.SIGSEGV, "ill": unix.SIGILL, "abrt": unix.SIGABRT}, seen)
}

// Where tracing is not mounted the number of the tracepoint is found as well.
func TestTracepointWithoutMount(t *testing.T) {
	needRoot(t)
	data, err := readUnmounted("tracefs", crashEvent)
	require.NoError(t, err)
	require.Regexp(t, `^[0-9]+\n$`, string(data))
}

func TestParseCPUs(t *testing.T) {
	got, err := parseCPUs("0-2,5")
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 2, 5}, got)
	for _, list := range []string{"", "x", "3-1", "0-99999999"} {
		_, err := parseCPUs(list)
		require.Error(t, err, list)
	}
}
