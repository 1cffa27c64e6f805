package user

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseCrash(t *testing.T) {
	for _, row := range []struct {
		line string
		want Crash
	}{
		{"6,1205,98765,-;server[4242]: segfault at 10 ip 00007f3c8a2b1104 sp 00007ffd3a error 4 in server[55d0+1000] likely on CPU 1\n SUBSYSTEM=x\n",
			Crash{PID: 4242, Address: 0x7f3c8a2b1104}},
		{"6,1205,98765,-;traps: a[b] c[77] trap invalid opcode ip:401126 sp:7ffd error:0 in a[401000+1000]\n", Crash{PID: 77, Address: 0x401126}},
		{"6,1205,98765,-;traps: x[8] general protection fault ip:4011aa sp:7ffe error:0\n", Crash{PID: 8, Address: 0x4011aa}},
		{"6,1,2,-;eth0: link up\n", Crash{}},
		{"6,1,2,-;evil[12]: segfault at 0 ip zz sp 0\n", Crash{}},
		{"x[1]: segfault at 0 ip 1 sp 1", Crash{}},
	} {
		got, ok := parseCrash(row.line)
		require.Equal(t, row.want.PID != 0, ok, row.line)
		got.Text = ""
		require.Equal(t, row.want, got, row.line)
	}
}

func FuzzParseCrash(f *testing.F) {
	f.Add("6,1205,98765,-;server[4242]: segfault at 10 ip 00007f3c8a2b1104 sp 00007ffd3a error 4\n")
	f.Fuzz(func(t *testing.T, line string) { _, _ = parseCrash(line) })
}

// The kernel's own words are understood.
func TestCrashIsSeen(t *testing.T) {
	needRoot(t)
	program := compile(t, "testdata/crash.c")
	ctx, cancel := context.WithCancel(context.Background())
	crashes, done := make(chan Crash, 1000), make(chan error)
	go func() { done <- WatchCrashes(ctx, func(c Crash) { crashes <- c }) }()
	time.Sleep(100 * time.Millisecond)
	for _, how := range []string{"segv", "ill"} {
		cmd := exec.Command(program, how)
		require.Error(t, cmd.Run())
		for {
			var c Crash
			select {
			case c = <-crashes:
			case <-time.After(5 * time.Second):
				require.Fail(t, "the kernel says nothing of a crash: is debug.exception-trace off?")
			}
			if c.PID == cmd.Process.Pid {
				require.NotZero(t, c.Address)
				break
			}
		}
	}
	cancel()
	require.NoError(t, <-done)
}
