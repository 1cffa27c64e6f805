package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/vm"
)

// A machine with systemd, from its first boot over a loss of power to the update of
// the program that is patched. What is installed is what `make install` installs.
func TestMachineThatBoots(t *testing.T) {
	v := vm.New(t)
	tool(t, "make", "-C", "..", "install", "DESTDIR="+v.Root)
	m := newMachineIn(t, v.Root, "greets.c")
	m.patch("HP001", "-DPATCHED")
	tool(t, "gcc", "-g", "-O2", "-DPATCHED", m.source, "-o", filepath.Join(v.Root, "usr/bin/program-2"), "-Wl,--build-id")
	v.Enable("syscared.service")
	v.Enable("syscare-restore.service")
	v.Unit("early.service", "[Service]\nExecStart=/usr/bin/program wait\n[Install]\nWantedBy=basic.target\n")
	v.Unit("late.service", "[Service]\nExecStart=/usr/bin/program wait\n[Install]\nWantedBy=multi-user.target\n")
	require.NoError(t, os.MkdirAll(filepath.Join(v.Root, "var/log/journal"), 0o755)) // which survives a boot
	v.Boot()

	defer func() {
		if t.Failed() {
			out, _ := v.Try("journalctl --sync; journalctl -b --no-pager -u 'sysc*' -u early -u late; systemctl list-jobs --no-pager")
			t.Log(out)
		}
	}()

	first := func(unit string) string { // the first line it has said in this boot
		t.Helper()
		out := strings.Fields(v.Run("journalctl --sync; journalctl -b -o cat _SYSTEMD_UNIT=" + unit + ".service | head -1"))
		require.Len(t, out, 1)
		return out[0]
	}
	require.Equal(t, "flawed", first("early"))
	require.Equal(t, "program-1.0-1/HP001-1-1: NOT-APPLIED\n", v.Run("syscare status HP001"))

	// The service, in its sandbox, does it.
	require.Contains(t, v.Run("busctl tree org.openeuler.SysCare1"), "/org/openeuler/SysCare1/patch/")
	out := v.Run("syscare --verbose apply HP001")
	require.Contains(t, out, "program-1.0-1/HP001-1-1: ACTIVED")
	// The kernel is an older one, which opens a program with a lock held that
	// attaching to the process needs.
	require.Equal(t, "50 fixed", strings.TrimSpace(v.Run("for i in $(seq 50); do program; done | sort | uniq -c")))
	require.Equal(t, "active\n", v.Run("systemctl is-active syscared"))
	status := v.Run("syscare --verbose status HP001 2>&1")
	for _, unit := range []string{"early.service", "late.service"} {
		pid := strings.TrimSpace(v.Run("systemctl show -P MainPID " + unit))
		require.Contains(t, status, "process "+pid+" (program, "+unit+"), program: patched")
	}
	require.Contains(t, v.Run("journalctl --sync; syscare log HP001"), "NOT-APPLIED to ACTIVED by user 0")

	// Its crash guard works in the sandbox, too.
	_, code := v.Try("program command <<<x")
	require.NotZero(t, code)
	require.Contains(t, v.Run("for i in $(seq 50); do syscare --verbose status HP001 2>&1 | grep suspended && break; sleep 0.2; done"), "SIGABRT")
	require.Contains(t, v.Run("syscare --verbose apply --force HP001"), "ACTIVED")

	// A shutdown waits for a change that is under way.
	v.Run("syscare remove HP001")
	v.Run("systemd-run --unit=stays /usr/bin/program stay; sleep 1")
	require.Contains(t, v.Run("syscare apply --timeout 5s HP001 & sleep 2; systemd-inhibit --list --no-pager; wait"), "SysCare")

	// The service is killed in the middle of one. The guard, which puts right what is
	// left halfway, is not killed with it, and ends when it is done.
	v.Run(`syscare apply --timeout 5s HP001 & sleep 2
		guard=$(pgrep -f ^syscare-guard) && systemctl kill --kill-whom=main --signal=KILL syscared || exit 1
		wait; for i in $(seq 100); do kill -0 $guard 2>/dev/null || exit 0; sleep 0.1; done; exit 1`)
	require.NotContains(t, v.Run("journalctl --sync; journalctl -b -o cat -u syscared"), "Killing process")
	require.NotContains(t, v.Run("systemctl stop stays; systemd-inhibit --list --no-pager"), "SysCare")

	// An update of SysCare replaces the running service.
	require.Contains(t, v.Run("syscare --verbose apply HP001"), "ACTIVED")
	pid := v.Run("systemctl show -P MainPID syscared")
	v.Run("cp /usr/libexec/syscare/syscared /usr/libexec/syscare/new && mv /usr/libexec/syscare/new /usr/libexec/syscare/syscared")
	require.Contains(t, v.Run("readlink /proc/$(systemctl show -P MainPID syscared)/exe"), "deleted")
	v.Run("systemctl kill --kill-whom=main --signal=USR2 syscared.service")
	require.Equal(t, "fixed", strings.TrimSpace(v.Run("program")))
	require.Equal(t, pid, v.Run("systemctl show -P MainPID syscared"))
	require.NotContains(t, v.Run("readlink /proc/$(systemctl show -P MainPID syscared)/exe"), "deleted")
	v.Run("for i in $(seq 100); do [ $(systemctl is-active syscared) = active ] && exit; sleep 0.1; done; exit 1")

	// What was accepted comes back after a loss of power, before other services start.
	require.Contains(t, v.Run("syscare --verbose accept HP001"), "ACCEPTED")
	v.Cut()
	v.Boot()
	require.Equal(t, "fixed", first("early"))
	require.Equal(t, "fixed", first("late"))
	require.Equal(t, "program-1.0-1/HP001-1-1: ACCEPTED\n", v.Run("syscare status HP001"))
	require.NotContains(t, v.Run("systemctl --failed --no-pager"), "syscare")

	// The program is updated. Old processes keep the patch; when they have ended, it
	// is retired.
	v.Run("mv /usr/bin/program-2 /usr/bin/program && systemctl restart early && syscare rescan")
	require.Contains(t, v.Run("syscare --verbose status HP001 2>&1"), "/usr/bin/program was replaced, as by an update of program: programs that start are not patched")
	v.Run("systemctl restart late")
	require.Contains(t, v.Run("syscare rescan 2>&1"), "HP001-1-1 is retired")
	require.Equal(t, "program-1.0-1/HP001-1-1: NOT-APPLIED\n", v.Run("syscare status HP001"))
	v.Off()
	v.Boot()
	require.NotContains(t, v.Run("systemctl --failed --no-pager"), "syscare")
	require.Contains(t, v.Run("journalctl --sync; syscare log HP001"), "patch retired")
}
