package tests

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/state/bus"
	"github.com/openeuler/syscare/state/metadata"
)

// BenchmarkInstalled reports what many installed patches cost: the service's
// start, what it takes of memory, and to list them, from the command line and
// over the bus.
func BenchmarkInstalled(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("%d patches", n), func(b *testing.B) {
			m := newMachine(b, "greets.c")
			m.patch("HP", "-DPATCHED")
			m.copies(n - 1)
			m.systemBus()
			conn := m.connect()
			began := time.Now()
			var pid uint32
			require.NoError(b, conn.Object(bus.Name, bus.Path).Call("org.freedesktop.DBus.Peer.Ping", 0).Err)
			starting := time.Since(began)
			require.NoError(b, conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, bus.Name).Store(&pid))
			var list, property, objects time.Duration
			for b.Loop() {
				began := time.Now()
				m.must("list")
				list += time.Since(began)
				began = time.Now()
				_, err := conn.Object(bus.Name, bus.PatchPath(firstPatch)).GetProperty(bus.PatchInterface + ".State")
				require.NoError(b, err)
				property += time.Since(began)
				began = time.Now()
				var all map[dbus.ObjectPath]map[string]map[string]dbus.Variant
				require.NoError(b, conn.Object(bus.Name, bus.Path).Call("org.freedesktop.DBus.ObjectManager.GetManagedObjects", 0).Store(&all))
				require.Len(b, all, n)
				objects += time.Since(began)
			}
			for unit, d := range map[string]time.Duration{"list": list, "objects": objects, "property": property} {
				b.ReportMetric(d.Seconds()*1000/float64(b.N), "ms-"+unit+"/op")
			}
			b.ReportMetric(starting.Seconds()*1000, "ms-start")
			b.ReportMetric(float64(residentKB(b, int(pid)))/1024, "MB-resident")
		})
	}
}

// copies installs more patches, like the first one.
func (m *machine) copies(n int) {
	m.t.Helper()
	dir := filepath.Join(m.root, "usr/lib/syscare/patches")
	text, err := os.ReadFile(filepath.Join(dir, firstPatch, metadata.FileName))
	require.NoError(m.t, err)
	code, err := os.ReadFile(filepath.Join(dir, firstPatch, "program.o"))
	require.NoError(m.t, err)
	for i := range n {
		p, err := metadata.Parse(text)
		require.NoError(m.t, err)
		p.UUID = fmt.Sprintf("980fa0d0-e753-447c-8494-%012d", 1000+i)
		p.Name = "HP" + strconv.Itoa(1000+i)
		p.Digest = p.ComputeDigest()
		copied, err := p.Encode()
		require.NoError(m.t, err)
		to := filepath.Join(dir, p.UUID)
		require.NoError(m.t, os.Mkdir(to, 0o755))
		require.NoError(m.t, os.WriteFile(filepath.Join(to, metadata.FileName), copied, 0o640))
		require.NoError(m.t, os.WriteFile(filepath.Join(to, "program.o"), code, 0o640))
	}
}

// residentKB is the memory that a process has in use.
func residentKB(b *testing.B, pid int) int {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(b, err)
	_, rest, found := bytes.Cut(status, []byte("VmRSS:"))
	require.True(b, found)
	var kb int
	_, err = fmt.Sscan(string(rest), &kb)
	require.NoError(b, err)
	return kb
}
