package tests

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/rpmhooks"
	"github.com/openeuler/syscare/tests/vm"
)

// transactions is a machine whose packages change while a program runs.
type transactions struct {
	*vm.Machine
	t *testing.T
}

// rpm runs rpm on packages in /rpms.
func (x *transactions) rpm(args string) string {
	x.t.Helper()
	return x.Run("cd /rpms && rpm --force-debian --nosignature " + args + " 2>&1")
}

// says asks the program that runs.
func (x *transactions) says() string {
	x.t.Helper()
	return strings.TrimSpace(x.Run("echo >/run/in; sleep 0.1; tail -n 1 /run/out"))
}

// patches tells the states of the patches, by version and name.
func (x *transactions) patches() map[string]string {
	x.t.Helper()
	var list []struct{ Name, State string }
	require.NoError(x.t, json.Unmarshal([]byte(x.Run("/usr/libexec/syscare/syscare-hook list")), &list))
	states := map[string]string{}
	for _, p := range list {
		states[strings.TrimPrefix(p.Name, "program-1.0-1/")] = p.State
	}
	return states
}

func (x *transactions) policy(policy string) {
	x.t.Helper()
	x.Run("mkdir -p /etc/syscare && echo 'on_install = \"" + policy + "\"' > /etc/syscare/syscare.toml")
}

type states = map[string]string

// Each row of the table of package rpmhooks, with the real rpm on a real machine.
func TestTransactions(t *testing.T) {
	needTools(t, "git")
	v := vm.New(t)
	m := newMachineIn(t, t.TempDir(), "greets.c")
	old := prebuilt(t, "program", "1.0", "1", m.program, "/usr/bin/program")
	updated := filepath.Join(t.TempDir(), "program")
	tool(t, "gcc", "-g", "-O2", "-DPATCHED", m.source, "-o", updated, "-Wl,--build-id")
	update := prebuilt(t, "program", "1.0", "2", updated, "/usr/bin/program")
	bystander := prebuilt(t, "bystander", "1", "1", updated, "/usr/bin/bystander")
	patches := m.patchRPMs(
		patchPackage{name: "HP001", version: "1", macro: "-DPATCHED"},
		patchPackage{name: "HP001", version: "2", macro: "-DPATCHED=2"},
		patchPackage{name: "HP002", version: "1", macro: "-DPATCHED=3"},
		patchPackage{name: "ACC", version: "1", macro: "-DPATCHED=4", contains: []string{"HP001", "HP002"}},
	)
	own := syscareRPMs(t)
	base := baseRPM(t, append(own, patches...)...)
	tool(t, "rpm", append([]string{"--root", v.Root, "--nosignature", "-i", base, old}, own...)...)
	put(t, v, "rpms", append(append(patches, old, update, bystander, base), own...)...)
	v.Enable("syscared.service")
	v.Boot()
	const p1, p2, other, acc = "patch-program-1.0-1-HP001-1-1.x86_64.rpm", "patch-program-1.0-1-HP001-2-1.x86_64.rpm",
		"patch-program-1.0-1-HP002-1-1.x86_64.rpm", "patch-program-1.0-1-ACC-1-1.x86_64.rpm"
	const erase = "-e $(rpm -qa 'patch-program-*')"

	rows := map[string]func(t *testing.T, x *transactions){
		"install": func(t *testing.T, x *transactions) {
			require.Empty(t, x.rpm("-i "+p1))
			require.Equal(t, states{"HP001-1-1": "NOT-APPLIED"}, x.patches())
			require.Equal(t, "flawed", x.says())
			x.rpm(erase)
			x.policy("apply")
			require.Contains(t, x.rpm("-i "+p1), "program-1.0-1/HP001-1-1: ACTIVED (processes: 1, stopped for ")
			require.Equal(t, states{"HP001-1-1": "ACTIVED"}, x.patches())
			require.Equal(t, "fixed", x.says())
			x.rpm(erase)
			x.policy("accept")
			x.rpm("-i " + p1)
			require.Equal(t, states{"HP001-1-1": "ACCEPTED"}, x.patches())
		},
		"reinstall": func(t *testing.T, x *transactions) {
			x.rpm("-i " + p1)
			x.Run("syscare apply HP001")
			x.rpm("-U --replacepkgs " + p1)
			require.Equal(t, states{"HP001-1-1": "ACTIVED"}, x.patches())
			require.Equal(t, "fixed", x.says())
		},
		"upgrade or downgrade of an active patch": func(t *testing.T, x *transactions) {
			x.rpm("-i " + p1)
			x.Run("syscare apply HP001 && syscare accept HP001")
			require.Contains(t, x.rpm("-U "+p2), "program-1.0-1/HP001-2-1: ACCEPTED (processes: 1")
			require.Equal(t, states{"HP001-2-1": "ACCEPTED"}, x.patches())
			x.rpm("-U --oldpackage " + p1)
			require.Equal(t, states{"HP001-1-1": "ACCEPTED"}, x.patches())
			require.Equal(t, "fixed", x.says())
		},
		"upgrade of a patch that is not active": func(t *testing.T, x *transactions) {
			x.rpm("-i " + p1)
			x.rpm("-U " + p2)
			require.Equal(t, states{"HP001-2-1": "NOT-APPLIED"}, x.patches())
			require.Equal(t, "flawed", x.says())
		},
		"obsoleted by a cumulative patch": func(t *testing.T, x *transactions) {
			x.rpm("-i " + p1 + " " + other)
			x.Run("syscare apply HP001 HP002")
			x.rpm("-U " + acc)
			require.Equal(t, states{"ACC-1-1": "ACTIVED"}, x.patches())
			require.Equal(t, "fixed", x.says())
			require.Equal(t, "patch-program-1.0-1-ACC-1-1.x86_64\n", x.Run("rpm -qa 'patch-program-*'"))
		},
		"erase": func(t *testing.T, x *transactions) {
			x.policy("accept")
			x.rpm("-i " + p1)
			require.Equal(t, "fixed", x.says())
			require.Contains(t, x.rpm(erase), "program-1.0-1/HP001-1-1: NOT-APPLIED (processes: 1")
			require.Equal(t, "flawed", x.says())
			// One that cannot be taken out stays, and its package with it.
			x.rpm("-i " + p1)
			x.Run("systemctl stop program; systemd-run -q --unit=stays /usr/bin/program stay; sleep 0.5; syscare status HP001")
			out, code := x.Try("timeout 100 rpm --force-debian " + erase + " 2>&1")
			require.NotZero(t, code, out)
			require.Contains(t, out, "the patch cannot be erased while processes run it")
			require.Contains(t, out, "greets")
			require.Equal(t, states{"HP001-1-1": "ACCEPTED"}, x.patches())
			x.Run("systemctl stop stays")
		},
		"upgrade of the target": func(t *testing.T, x *transactions) {
			x.rpm("-i " + p1)
			x.Run("syscare apply HP001")
			x.rpm("-U " + filepath.Base(update))
			require.Equal(t, "fixed", x.says())
			require.Equal(t, states{"HP001-1-1": "ACTIVED"}, x.patches(), "a process has it")
			x.Run("systemctl stop program")
			require.Contains(t, x.rpm("-i "+filepath.Base(bystander)), "HP001-1-1 is retired: /usr/bin/program was replaced, as by an update of program")
			require.Equal(t, states{"HP001-1-1": "NOT-APPLIED"}, x.patches())
		},
		"erase of the target": func(t *testing.T, x *transactions) {
			x.policy("apply")
			x.rpm("-i " + p1)
			x.Run("dnf -q -y --releasever=1 --setopt=reposdir=/nowhere remove program")
			require.Equal(t, states{}, x.patches())
			require.Equal(t, "flawed", x.says())
		},
		"in a chroot, an installroot, an image build, without /proc": func(t *testing.T, x *transactions) {
			x.policy("apply")
			x.Run(`for f in /bin/sh /bin/cat $(ldd /bin/sh | grep -o '/[^ ]*') /usr/libexec/syscare/syscare-hook; do install -D $f /image$f; done`)
			require.Equal(t, "deferred\n", x.rpm("--root /image -i --nodeps "+p1))
			require.Equal(t, "flawed", x.says())
			require.Equal(t, "deferred\n", x.rpm("--root /image -e --nodeps patch-program-1.0-1-HP001"))
			x.Run("dnf -q -y --installroot=/image --releasever=1 --setopt=reposdir=/nowhere --setopt=cachedir=/var/cache/dnf --nogpgcheck install " +
				"/rpms/base-*.rpm /rpms/syscare-0*.rpm /rpms/program-1.0-1.*.rpm /rpms/" + p1)
			x.Run("test -d /image/usr/lib/syscare/patches/980fa0d0-e753-447c-8494-000000000001")
			require.Equal(t, "flawed", x.says())
			require.Equal(t, states{}, x.patches())
			// An image that is booted: the service registers what has come.
			require.Contains(t, x.Run("cd /rpms && SYSTEMD_OFFLINE=1 rpm --force-debian --nosignature -i "+p1), "deferred")
			require.Equal(t, "flawed", x.says())
			x.Run("systemctl restart syscared; for i in $(seq 50); do /usr/libexec/syscare/syscare-hook list | grep -q ACTIVED && exit; sleep 0.1; done")
			require.Equal(t, states{"HP001-1-1": "ACTIVED"}, x.patches())
			require.Equal(t, "fixed", x.says())
		},
		"with --noscripts, or of a package without our scripts": func(t *testing.T, x *transactions) {
			x.policy("apply")
			x.rpm("-i --noscripts " + p1)
			require.Equal(t, "flawed", x.says())
			x.rpm("-i " + filepath.Base(bystander))
			require.Equal(t, "fixed", x.says())
			x.rpm("-e --noscripts patch-program-1.0-1-HP001")
			require.Equal(t, "fixed", x.says(), "and accounted for")
			require.Equal(t, states{"HP001-1-1": "ACTIVED"}, x.patches())
			x.rpm("-U --replacepkgs " + filepath.Base(bystander))
			require.Equal(t, "flawed", x.says())
			require.Equal(t, states{}, x.patches())
		},
		"with --test": func(t *testing.T, x *transactions) {
			x.policy("apply")
			x.rpm("-i --test " + p1)
			require.Equal(t, states{}, x.patches())
			x.rpm("-i " + p1)
			x.rpm("--test " + erase)
			require.Equal(t, "fixed", x.says())
		},
		"several patches at once": func(t *testing.T, x *transactions) {
			x.policy("apply")
			x.rpm("-i " + p1 + " " + other)
			require.Equal(t, states{"HP001-1-1": "ACTIVED", "HP002-1-1": "ACTIVED"}, x.patches())
			x.rpm(erase)
			require.Equal(t, "flawed", x.says())
		},
		"killed half way": func(t *testing.T, x *transactions) {
			x.policy("apply")
			x.rpm("-i " + p1)
			const rpm, dnf = "exec rpm --force-debian --nosignature -U --oldpackage ", "exec dnf -y --releasever=1 --setopt=reposdir=/nowhere --nogpgcheck install "
			for i, next := range []string{rpm + p2, rpm + p1, rpm + p2, rpm + p1, dnf + "./" + p2, dnf + "./" + p2, dnf + "./" + p2} {
				x.Run("cd /rpms; (" + next + ") >/dev/null 2>&1 & sleep " + []string{"0.1", "0.2", "0.3", "0.4", "2", "2.5", "3"}[i] + "; kill -9 $!; wait; rm -f /root/.rpmdb/.rpm.lock; :")
				x.Try("/usr/libexec/syscare/syscare-hook reconcile") // it may find a package that is there in part
				require.Equal(t, "fixed", x.says())
				active := 0
				for _, state := range x.patches() {
					if state == "ACTIVED" {
						active++
					}
				}
				require.Equal(t, 1, active, "%v", x.patches())
			}
		},
		"while SysCare's own package is gone": func(t *testing.T, x *transactions) {
			x.policy("apply")
			x.rpm("-i " + p1)
			x.Run("systemctl stop syscared; mv /usr/libexec/syscare/syscare-hook /root/")
			require.Contains(t, x.rpm(erase), "processes that run patch 980fa0d0")
			require.Equal(t, "fixed", x.says())
			x.Run("mv /root/syscare-hook /usr/libexec/syscare/ && /usr/libexec/syscare/syscare-hook reconcile")
			require.Equal(t, "flawed", x.says())
		},
	}
	for _, row := range rpmhooks.Table {
		require.Contains(t, rows, row.Transaction)
		t.Run(row.Transaction, func(t *testing.T) {
			x := &transactions{v, t}
			x.policy("manual")
			x.Run("rpm --force-debian -e $(rpm -qa bystander 'patch-program-*') 2>/dev/null; cd /rpms; rpm --force-debian --nosignature -U --oldpackage --replacepkgs " + filepath.Base(old) +
				"; systemctl stop program; rm -f /run/in /run/out; mkfifo /run/in; " +
				"systemd-run -q --unit=program sh -c 'sleep infinity >/run/in & exec program command </run/in >/run/out'; sleep 0.3")
			require.Equal(t, states{}, x.patches())
			require.Equal(t, "flawed", x.says())
			rows[row.Transaction](t, x)
		})
	}
	require.Len(t, rows, len(rpmhooks.Table))
}
