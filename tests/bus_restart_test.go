package tests

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/state/bus"
)

// owner is the PID of the service, 0 if it is not on the bus.
func owner(conn *dbus.Conn) (pid uint32) {
	_ = conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, bus.Name).Store(&pid)
	return pid
}

// The service executes itself anew after an update. It stays the same process, no
// program starts without its patch meanwhile, and calls are answered.
func TestServiceIsReplacedByItsUpdate(t *testing.T) {
	m := newMachine(t, "greets.c")
	m.patch("HP001", "-DPATCHED")
	m.systemBus("--verbose")
	must(t, "apply", "HP001")
	conn := m.connect()
	pid := owner(conn)
	require.NotZero(t, pid)
	for i := range 60 {
		if i%10 == 0 {
			require.NoError(t, syscall.Kill(int(pid), syscall.SIGUSR2))
		}
		require.Equal(t, "fixed", m.says())
		if i%10 == 5 {
			require.Contains(t, must(t, "--verbose", "accept", "HP001"), "ACCEPTED")
			require.Eventually(t, func() bool { return owner(conn) == pid }, 10*time.Second, time.Millisecond, "the same process")
		}
	}
	must(t, "remove", "HP001")
	require.Equal(t, "flawed", m.says())
}

// A bus that is started anew does not keep the service from its work, and has it
// again when it is there.
func TestServiceOutlivesTheBus(t *testing.T) {
	m := newMachine(t, "greets.c")
	m.patch("HP001", "-DPATCHED")
	m.systemBus()
	must(t, "apply", "HP001")
	pid := owner(m.connect())
	require.NotZero(t, pid)
	require.NoError(t, syscall.Kill(m.busPID, syscall.SIGKILL))
	time.Sleep(500 * time.Millisecond)
	require.Equal(t, "fixed", m.says())
	m.startBus()
	m.startPolkit()
	conn := m.connect()
	require.Eventually(t, func() bool { return owner(conn) == pid }, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, "fixed", m.says())
	must(t, "remove", "HP001")
	require.Equal(t, "flawed", m.says())
}

// Commands that look at processes while a program starts, which is being patched and
// has the patch in part, take no notice of that: a patch that is active stays so.
func TestRescanWhileProgramsStart(t *testing.T) {
	m := newMachine(t, "greets.c")
	m.patch("HP001", "-DPATCHED")
	m.must("apply", "HP001")
	m.service().looksAfter("1")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if out, err := exec.Command(filepath.Join(bin, "syscare"), "--root", m.root, "rescan").CombinedOutput(); err != nil {
				done <- fmt.Errorf("%w: %s", err, out)
				return
			}
		}
		done <- nil
	}()
	for range 150 {
		require.Equal(t, "fixed", m.says())
	}
	stop()
	require.NoError(t, <-done)
	require.Contains(t, m.must("status", "HP001"), "ACTIVED")
}
