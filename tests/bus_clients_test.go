package tests

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/user"
	"github.com/openeuler/syscare/state/bus"
)

var serviceKills = flag.Int("service-kills", 20, "times that the service is killed at work")

// secondPatch is what the machine's second call of patch has made.
var secondPatch = bus.PatchPath(strings.TrimSuffix(firstPatch, "1") + "2")

// Many clients at once: one writer, any number of readers, and each gets an
// answer.
func TestManyClients(t *testing.T) {
	m := newMachine(t, "herd.c")
	m.patch("A", "-DFIRST=2")
	m.patch("B", "-DSECOND=20")
	m.systemBus()
	count := m.herd(5)
	var clients sync.WaitGroup
	for i := range 200 {
		conn := m.connect()
		clients.Go(func() {
			switch path := []dbus.ObjectPath{bus.PatchPath(firstPatch), secondPatch}[i%2]; i % 20 {
			case 0, 1, 2, 3:
				method := []string{"Apply", "Remove"}[rand.N(2)]
				if got := busCall(conn, path, bus.PatchInterface+"."+method, map[string]dbus.Variant{}); got != "" && got != "Busy" {
					t.Errorf("%s: %s", method, got)
				}
			default:
				if got := busCall(conn, bus.Path, "org.freedesktop.DBus.ObjectManager.GetManagedObjects"); got != "" {
					t.Errorf("GetManagedObjects: %s", got)
				}
				if got := busCall(conn, path, bus.PatchInterface+".Processes"); got != "" {
					t.Errorf("Processes: %s", got)
				}
			}
		})
	}
	clients.Wait()
	conn := m.connect()
	for _, path := range []dbus.ObjectPath{bus.PatchPath(firstPatch), secondPatch} {
		require.Empty(t, busCall(conn, path, bus.PatchInterface+".Apply", map[string]dbus.Variant{}))
	}
	require.Equal(t, "22:5", count())
}

// A client that leaves the bus, or cancels, in the middle of a move: all is as it
// was before, and the service is free for the next one.
func TestMovesThatAreGivenUp(t *testing.T) {
	m := newMachine(t, "stays.c")
	m.patch("A", "-DPATCHED")
	m.systemBus()
	cmd := exec.Command(m.program)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	path := bus.PatchPath(firstPatch)
	long := map[string]dbus.Variant{"timeout": dbus.MakeVariant(uint64(60_000))}
	begin := func() (*dbus.Conn, *dbus.Call) {
		conn := m.connect()
		call := conn.Object(bus.Name, path).Go(bus.PatchInterface+".Apply", 0, nil, long)
		require.NoError(t, call.Err)
		time.Sleep(500 * time.Millisecond) // it waits for the function to end
		return conn, call
	}
	untouched := func() {
		t.Helper()
		brief := map[string]dbus.Variant{"timeout": dbus.MakeVariant(uint64(100))}
		require.Equal(t, "Busy", busCall(m.connect(), path, bus.PatchInterface+".Apply", brief), "the code is in use")
		require.Contains(t, m.must("status", "A"), "NOT-APPLIED")
	}
	t.Run("the client leaves", func(t *testing.T) {
		conn, _ := begin()
		require.NoError(t, conn.Close())
	})
	untouched()
	t.Run("it is cancelled", func(t *testing.T) {
		_, call := begin()
		require.Empty(t, busCall(m.connect(), path, bus.PatchInterface+".Cancel"))
		err := (<-call.Done).Err
		require.ErrorContains(t, err, "context canceled")
		require.Equal(t, bus.Name+".Error.Cancelled", err.(dbus.Error).Name)
	})
	untouched()
	t.Run("Ctrl-C", func(t *testing.T) {
		cmd := command(t, "apply", "--timeout", "60s", "A")
		require.NoError(t, cmd.Start())
		time.Sleep(time.Second)
		require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
		require.Error(t, cmd.Wait())
	})
	untouched()
	require.NoError(t, stdin.Close()) // the function ends
}

// truth is what the processes of the herd say themselves.
func truth(t *testing.T, pids []int) (patched map[string]int) {
	t.Helper()
	patched = map[string]int{}
	for _, pid := range pids {
		applied, err := user.Applied(t.Context(), pid)
		require.NoError(t, err)
		for _, a := range applied {
			if a.State == user.Active {
				patched[a.UUID]++
			}
		}
	}
	return patched
}

// The service is killed at random moments of changes of 20 processes. Each time it
// comes back with the next call, what it says is what is in the processes, its
// records are whole, and no process has suffered.
func TestServiceIsKilledAtWork(t *testing.T) {
	m := newMachine(t, "herd.c")
	m.patch("A", "-DFIRST=2")
	m.patch("B", "-DSECOND=20")
	m.systemBus()
	count := m.herd(20)
	conn := m.connect()
	paths := []dbus.ObjectPath{bus.PatchPath(firstPatch), secondPatch}
	pids, _ := m.running("A")
	for range *serviceKills {
		path := paths[rand.N(2)]
		verb := []string{"Apply", "Remove", "Activate", "Deactivate"}[rand.N(4)]
		call := conn.Object(bus.Name, path).Go(bus.PatchInterface+"."+verb, 0, nil, map[string]dbus.Variant{})
		require.NoError(t, call.Err)
		time.Sleep(rand.N(60 * time.Millisecond))
		var pid uint32
		if conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, bus.Name).Store(&pid) == nil {
			require.NoError(t, syscall.Kill(int(pid), syscall.SIGKILL))
		}
		<-call.Done
		data, err := os.ReadFile(filepath.Join(m.root, "var/lib/syscare/state.json"))
		if err == nil {
			require.True(t, json.Valid(data), "%s", data)
		}
		require.Eventually(t, func() bool { // the next call settles what was left
			return busCall(conn, bus.Path, bus.ManagerInterface+".Rescan", map[string]dbus.Variant{}) == ""
		}, 30*time.Second, 50*time.Millisecond)
		seen := truth(t, pids)
		for i, name := range []string{"A", "B"} {
			var says struct{ State, UUID string }
			for property, into := range map[string]*string{"State": &says.State, "UUID": &says.UUID} {
				v, err := conn.Object(bus.Name, paths[i]).GetProperty(bus.PatchInterface + "." + property)
				require.NoError(t, err)
				*into, _ = v.Value().(string)
			}
			n := seen[m.entity(says.UUID)]
			require.Contains(t, []int{0, len(pids)}, n, "all or none have %s", name)
			require.Equal(t, n > 0, says.State == "ACTIVED", "%s: %s, and %d processes run it", name, says.State, n)
		}
		require.Regexp(t, `^(11|12|21|22):20$`, count())
	}
	for _, move := range []struct { // which nobody disturbs
		verb   string
		active int
	}{{"Remove", 0}, {"Apply", len(pids)}, {"Deactivate", 0}, {"Activate", len(pids)}, {"Remove", 0}} {
		require.Empty(t, busCall(conn, paths[0], bus.PatchInterface+"."+move.verb, map[string]dbus.Variant{}))
		require.Equal(t, move.active, truth(t, pids)[m.entity(firstPatch)], move.verb)
	}
}
