package tests

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/state/bus"
)

// busConfig is a system bus as distributions configure it, with our policy.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=%[1]s/socket</listen>
  <auth>EXTERNAL</auth>
  <servicedir>%[1]s</servicedir>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <policy user="root">
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
  </policy>
  <include>%[2]s/org.openeuler.SysCare1.conf</include>
  <include ignore_missing="yes">/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>
</busconfig>
`

// systemBus starts a bus of the machine's own, which starts the service on demand
// with our files, and Debian's polkitd on it.
func (m *machine) systemBus(serviceFlags ...string) {
	m.t.Helper()
	needTools(m.t, "dbus-daemon", "busctl")
	dir, err := os.MkdirTemp("", "syscare-bus")
	require.NoError(m.t, err)
	m.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(m.t, os.Chmod(dir, 0o755))
	packaging, err := filepath.Abs("../packaging")
	require.NoError(m.t, err)
	require.NoError(m.t, os.WriteFile(filepath.Join(dir, "bus.conf"), fmt.Appendf(nil, busConfig, dir, packaging), 0o644))
	activation, err := os.ReadFile(filepath.Join(packaging, "org.openeuler.SysCare1.service"))
	require.NoError(m.t, err)
	const installed = "Exec=/usr/libexec/syscare/syscared"
	require.Contains(m.t, string(activation), installed)
	command := strings.Join(append([]string{"Exec=" + filepath.Join(bin, "syscared"), "--root", m.root}, serviceFlags...), " ")
	text := strings.Replace(strings.Replace(string(activation), installed, command, 1), "SystemdService=syscared.service\n", "", 1)
	require.NoError(m.t, os.WriteFile(filepath.Join(dir, "org.openeuler.SysCare1.service"), []byte(text), 0o644))

	m.bus = filepath.Join(dir, "bus.conf")
	// A service that the bus has started is nobody's child.
	m.t.Cleanup(func() { _ = exec.Command("pkill", "-KILL", "-f", "syscared --root "+m.root).Run() })
	m.startBus()

	const policy = "/usr/share/polkit-1/actions/org.openeuler.syscare1.policy"
	if _, err := os.Stat(policy); err != nil {
		ours, err := os.ReadFile(filepath.Join(packaging, filepath.Base(policy)))
		require.NoError(m.t, err)
		require.NoError(m.t, os.WriteFile(policy, ours, 0o644))
		m.t.Cleanup(func() { _ = os.Remove(policy) })
	}
	m.startPolkit()
}

// startBus starts the bus.
func (m *machine) startBus() {
	m.t.Helper()
	daemon := exec.Command("dbus-daemon", "--config-file="+m.bus, "--nofork", "--print-address")
	daemon.Stderr = os.Stderr
	out, err := daemon.StdoutPipe()
	require.NoError(m.t, err)
	require.NoError(m.t, daemon.Start())
	m.busPID = daemon.Process.Pid
	m.t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	lines := bufio.NewScanner(out)
	require.True(m.t, lines.Scan())
	m.t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", lines.Text())
	go func() { _, _ = io.Copy(io.Discard, out) }()
}

// startPolkit starts polkit's service on the bus.
func (m *machine) startPolkit() {
	m.t.Helper()
	polkitd := exec.Command("/usr/lib/polkit-1/polkitd", "--no-debug")
	require.NoError(m.t, polkitd.Start())
	m.t.Cleanup(func() { _ = polkitd.Process.Kill(); _ = polkitd.Wait() })
	conn := m.connect()
	require.Eventually(m.t, func() bool {
		var there bool
		return conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, "org.freedesktop.PolicyKit1").Store(&there) == nil && there
	}, 10*time.Second, 10*time.Millisecond)
}

// connect is a client of the bus.
func (m *machine) connect() *dbus.Conn {
	m.t.Helper()
	conn, err := dbus.ConnectSystemBus()
	require.NoError(m.t, err)
	m.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// registered waits until the service has begun and registered what is installed.
func (m *machine) registered() {
	m.t.Helper()
	patch := m.connect().Object(bus.Name, bus.PatchPath(firstPatch))
	require.Eventually(m.t, func() bool {
		recorded, err := patch.GetProperty(bus.PatchInterface + ".Recorded")
		return err == nil && recorded.Value() == "NOT-APPLIED"
	}, 10*time.Second, 10*time.Millisecond)
}

// busctl runs busctl as a user and returns what it prints.
func busctl(t *testing.T, uid uint32, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("busctl", append([]string{"--address=" + os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"), "--no-pager"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

const nobody = 65534

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a transcript with the one in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata/bus", name+".golden")
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "if this is meant: go test ./tests -run Bus -update")
}

const firstPatch = "980fa0d0-e753-447c-8494-000000000001"

// Everything that a desktop or an administrator sees with busctl.
func TestBusTranscripts(t *testing.T) {
	m := newMachine(t, "greets.c")
	m.patch("HP001", "-DPATCHED")
	m.systemBus()
	m.registered()
	path := string(bus.PatchPath(firstPatch))
	digest := regexp.MustCompile(`"[0-9a-f]{64}"`)
	for _, row := range []struct {
		name string
		args []string
	}{
		{"tree", []string{"tree", bus.Name}},
		{"introspect-manager", []string{"introspect", bus.Name, string(bus.Path)}},
		{"introspect-patch", []string{"introspect", bus.Name, path}},
		{"find", []string{"call", bus.Name, string(bus.Path), bus.ManagerInterface, "Find", "s", "program-1.0-1/HP001"}},
		{"state-before", []string{"get-property", bus.Name, path, bus.PatchInterface, "State"}},
		{"apply", []string{"call", bus.Name, path, bus.PatchInterface, "Apply", "a{sv}", "2", "force", "b", "false", "timeout", "t", "2000"}},
		{"state-after", []string{"get-property", bus.Name, path, bus.PatchInterface, "State"}},
		{"accept", []string{"call", bus.Name, path, bus.PatchInterface, "Accept", "a{sv}", "0"}},
		{"save", []string{"call", bus.Name, string(bus.Path), bus.ManagerInterface, "Save"}},
	} {
		out, err := busctl(t, 0, row.args...)
		require.NoError(t, err, out)
		golden(t, row.name, digest.ReplaceAllString(out, `"`+strings.Repeat("0", 64)+`"`))
	}
}

// What changes is told to everybody who listens: states, patches that come and go,
// progress.
func TestBusTellsOfChanges(t *testing.T) {
	m := newMachine(t, "herd.c")
	m.patch("A", "-DFIRST=2")
	m.systemBus()
	conn := m.connect()
	signals := make(chan *dbus.Signal, 10_000)
	conn.Signal(signals)
	require.NoError(t, conn.AddMatchSignal(dbus.WithMatchPathNamespace(bus.Path)))
	next := func(member string) *dbus.Signal {
		t.Helper()
		for {
			select {
			case s := <-signals:
				if strings.HasSuffix(s.Name, "."+member) {
					return s
				}
			case <-time.After(10 * time.Second):
				require.Fail(t, "no signal "+member)
			}
		}
	}
	count := m.herd(3)
	out, err := busctl(t, 0, "call", bus.Name, string(bus.PatchPath(firstPatch)), bus.PatchInterface, "Apply", "a{sv}", "0")
	require.NoError(t, err, out)
	require.Equal(t, "12:3", count())
	require.Equal(t, []any{bus.PatchPath(firstPatch), uint32(1), uint32(4)}, next("Progress").Body)
	states := map[string]any{}
	for states["State"] == nil || states["Patched"] == nil {
		for name, value := range next("PropertiesChanged").Body[1].(map[string]dbus.Variant) {
			states[name] = value.Value()
		}
	}
	require.Equal(t, "ACTIVED", states["State"])
	require.Equal(t, uint32(4), states["Patched"])
	m.patch("B", "-DSECOND=20")
	added := next("InterfacesAdded").Body
	require.Equal(t, dbus.ObjectPath(string(bus.PatchPath(firstPatch))[:len(bus.PatchPath(firstPatch))-1]+"2"), added[0])
	require.NoError(t, os.RemoveAll(filepath.Join(m.root, "usr/lib/syscare/patches/980fa0d0-e753-447c-8494-000000000002")))
	require.Equal(t, added[0], next("InterfacesRemoved").Body[0])
}

// busCall calls a method and gives the name of its error, "" if it succeeds.
func busCall(conn *dbus.Conn, path dbus.ObjectPath, method string, args ...any) string {
	err := conn.Object(bus.Name, path).Call(method, 0, args...).Err
	var named dbus.Error
	if errors.As(err, &named) {
		return strings.TrimPrefix(named.Name, bus.Name+".Error.")
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// Every error has a name, and what makes no sense is refused.
func TestBusErrors(t *testing.T) {
	m := newMachine(t, "greets.c")
	m.patch("HP001", "-DPATCHED")
	m.patchVersion("HP001", "2", "-DPATCHED=2")
	m.patch("OTHER", "-DPATCHED=3")
	m.systemBus()
	conn := m.connect()
	first := bus.PatchPath(firstPatch)
	other := dbus.ObjectPath(strings.TrimSuffix(string(first), "1") + "3")
	type dict = map[string]dbus.Variant
	option := func(name string, value any) dict { return dict{name: dbus.MakeVariant(value)} }
	const invalid = "org.freedesktop.DBus.Error.InvalidArgs"
	for _, row := range []struct {
		want, name string
		path       dbus.ObjectPath
		method     string
		args       []any
	}{
		{"NotFound", "no such patch", bus.Path, "Manager.Find", []any{"nothing"}},
		{invalid, "several patches", bus.Path, "Manager.Find", []any{"HP001"}},
		{invalid, "far too long", bus.Path, "Manager.Find", []any{strings.Repeat("x", 1<<20)}},
		{invalid, "too few arguments", bus.Path, "Manager.Find", nil},
		{invalid, "of another type", bus.Path, "Manager.Find", []any{uint32(1)}},
		{invalid, "unknown option", first, "Patch.Apply", []any{option("nonsense", true)}},
		{invalid, "option of another type", first, "Patch.Apply", []any{option("force", "yes")}},
		{invalid, "no time", first, "Patch.Apply", []any{option("timeout", uint64(0))}},
		{invalid, "for ever", first, "Patch.Apply", []any{option("timeout", uint64(1)<<63)}},
		{"org.freedesktop.DBus.Error.UnknownMethod", "no such method", first, "Patch.Explode", nil},
		{"Refused", "nothing to accept", first, "Patch.Accept", []any{dict{}}},
		{"", "applied", first, "Patch.Apply", []any{dict{}}},
		{"Conflict", "overlaps", other, "Patch.Check", nil},
	} {
		require.Equal(t, row.want, busCall(conn, row.path, bus.Name+"."+row.method, row.args...), row.name)
	}
	require.NotEmpty(t, busCall(conn, first, "org.freedesktop.DBus.Properties.Set", bus.PatchInterface, "State", dbus.MakeVariant("ACCEPTED")))
	require.Empty(t, busCall(conn, first, bus.PatchInterface+".Remove", dict{}))

	damaged := filepath.Join(m.root, "usr/lib/syscare/patches", firstPatch, "program.o")
	require.NoError(t, os.WriteFile(damaged, []byte("damaged"), 0o640))
	require.Equal(t, "Corrupt", busCall(conn, first, bus.PatchInterface+".Apply", dict{}))

	cmd := exec.Command(m.program, "c")
	_, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	tracer := exec.Command("gdb", "-q", "-batch", "-p", strconv.Itoa(cmd.Process.Pid), "-ex", "shell sleep 60")
	needTools(t, "gdb")
	require.NoError(t, tracer.Start())
	t.Cleanup(func() { _ = tracer.Process.Kill(); _ = tracer.Wait() })
	require.Eventually(t, func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
		return err == nil && strings.Contains(string(status), fmt.Sprintf("TracerPid:\t%d", tracer.Process.Pid))
	}, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, "Busy", busCall(conn, other, bus.PatchInterface+".Apply", dict{}))
}

// Who is not allowed to may read everything and change nothing.
func TestBusUnprivileged(t *testing.T) {
	m := newMachine(t, "greets.c")
	m.patch("HP001", "-DPATCHED")
	m.systemBus()
	path := string(bus.PatchPath(firstPatch))
	store := filepath.Join(m.root, "var/lib/syscare/state.json")
	m.registered()
	before := mustRead(t, store)
	for _, row := range [][]string{
		{path, bus.PatchInterface, "Apply", "a{sv}", "0"}, {path, bus.PatchInterface, "Remove", "a{sv}", "0"},
		{path, bus.PatchInterface, "Activate", "a{sv}", "0"}, {path, bus.PatchInterface, "Deactivate", "a{sv}", "0"},
		{path, bus.PatchInterface, "Accept", "a{sv}", "0"}, {path, bus.PatchInterface, "Cancel"},
		{string(bus.Path), bus.ManagerInterface, "Save"}, {string(bus.Path), bus.ManagerInterface, "Rescan", "a{sv}", "0"},
		{string(bus.Path), bus.ManagerInterface, "Restore", "ba{sv}", "false", "0"},
	} {
		out, err := busctl(t, nobody, append([]string{"call", bus.Name}, row...)...)
		require.Error(t, err)
		require.Contains(t, out, "permission denied: this needs the password of an administrator", row)
	}
	require.Equal(t, before, mustRead(t, store))
	out, err := busctl(t, nobody, "call", bus.Name, string(bus.Path), "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
	require.NoError(t, err)
	require.Contains(t, out, firstPatch)
	for _, method := range []string{"Check", "Processes"} {
		out, err := busctl(t, nobody, "call", bus.Name, path, bus.PatchInterface, method)
		require.NoError(t, err, out)
	}
	_, err = busctl(t, nobody, "call", bus.Name, path, "org.freedesktop.DBus.Properties", "Set", "ssv", bus.PatchInterface, "State", "s", "ACCEPTED")
	require.Error(t, err)
	conn := exec.Command("busctl", "--address="+os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"), "call", "org.freedesktop.DBus", "/org/freedesktop/DBus",
		"org.freedesktop.DBus", "RequestName", "su", bus.Name, "3")
	conn.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	text, err := conn.CombinedOutput()
	require.Error(t, err, "nobody else can be the service: %s", text)
}

// The command line asks the service where there is one: root to change, all to see.
func TestCommandLineAsksTheService(t *testing.T) {
	m := newMachine(t, "greets.c")
	m.patch("HP001", "-DPATCHED")
	m.systemBus()
	require.Contains(t, must(t, "--verbose", "apply", "HP001"), "program-1.0-1/HP001-1-1: ACTIVED")
	require.Equal(t, "fixed", m.says(), "the service has patched it at its start")
	r := syscare(t, "apply", "nothing")
	require.Equal(t, 3, r.code, r.stderr)
	asNobody := func(args ...string) result {
		cmd := command(t, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return finish(t, cmd)
	}
	require.NoError(t, os.Chmod(bin, 0o755))
	r = asNobody("list")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, "ACTIVED")
	r = asNobody("status", "HP001")
	require.Equal(t, "program-1.0-1/HP001-1-1: ACTIVED\n", r.stdout, r.stderr)
	r = asNobody("remove", "HP001")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "permission denied")
	require.Equal(t, "fixed", m.says())
	must(t, "save")
	must(t, "rescan")
	must(t, "remove", "HP001")
	require.Equal(t, "flawed", m.says())
	must(t, "restore")
	require.Equal(t, "fixed", m.says())
}

// The service leaves when it has nothing to do, and comes back when it is asked.
func TestServiceLeavesWhenIdle(t *testing.T) {
	m := newMachine(t, "greets.c")
	m.patch("HP001", "-DPATCHED")
	m.systemBus("--idle", "1s")
	conn := m.connect()
	there := func() bool {
		var there bool
		require.NoError(t, conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, bus.Name).Store(&there))
		return there
	}
	require.Contains(t, must(t, "--verbose", "apply", "HP001"), "ACTIVED")
	time.Sleep(2500 * time.Millisecond)
	require.True(t, there(), "it looks after the patch")
	require.Equal(t, "fixed", m.says())
	must(t, "remove", "HP001")
	require.Eventually(t, func() bool { return !there() }, 20*time.Second, 100*time.Millisecond)
	require.Contains(t, must(t, "--verbose", "apply", "HP001"), "ACTIVED")
	require.Equal(t, "fixed", m.says())
}

// The configuration counts for the service, which reads it again when it is told
// to; one with errors changes nothing.
func TestServiceConfiguration(t *testing.T) {
	m := newMachine(t, "greets.c")
	m.patch("HP001", "-DPATCHED")
	path := filepath.Join(m.root, "etc/syscare/syscare.toml")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	configure := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o644)) }
	configure("blocked = [\"program\"]\n")
	m.systemBus("--verbose")
	conn := m.connect()
	patch := bus.PatchPath(firstPatch)
	apply := func() string {
		return busCall(conn, patch, bus.PatchInterface+".Apply", map[string]dbus.Variant{})
	}
	require.Equal(t, "Refused", apply())
	var pid uint32
	require.NoError(t, conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, bus.Name).Store(&pid))
	configure("blocked = []\nnonsense = 1\n")
	require.NoError(t, syscall.Kill(int(pid), syscall.SIGHUP))
	time.Sleep(300 * time.Millisecond)
	require.Equal(t, "Refused", apply(), "it stays what it was")
	r := syscare(t, "--root", m.root, "apply", "HP001")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, `line 2: there is no key "nonsense"`)
	configure("skipped = [\"/no/such/program\"]\n")
	require.NoError(t, syscall.Kill(int(pid), syscall.SIGHUP))
	require.Eventually(t, func() bool { return apply() == "" }, 10*time.Second, 50*time.Millisecond)
	require.Equal(t, "fixed", m.says())
	configure("skipped = [\"" + m.program + "\"]\n")
	require.NoError(t, syscall.Kill(int(pid), syscall.SIGHUP))
	require.Eventually(t, func() bool { return m.says() == "flawed" }, 10*time.Second, 50*time.Millisecond, "left out from now on")
}
