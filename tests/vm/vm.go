package vm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/debian"
	"github.com/openeuler/syscare/tests/kernelrpm"
)

// packages are those that the machine has beside the essential ones and its kernel.
const packages = "systemd,systemd-sysv,dbus,polkitd,udev,initramfs-tools,procps,rpm,dnf,gpg,linux-image-"

// bootTime is what a boot may take, on an emulated processor beside other work.
const bootTime = 2 * time.Minute

// Machine is a virtual machine. Until the first Boot its files are in Root, from
// then on only it sees them.
type Machine struct {
	Root string

	t              testing.TB
	dir            string // of ours: kernel, disk, sockets
	kernel, initrd string
	cpu            string // that is emulated
	qemu           *exec.Cmd
	line           net.Conn
	answers        *bufio.Reader
}

// New makes a machine with Debian's own kernel. It needs root and, as setup.sh installs
// them, QEMU and mmdebstrap.
func New(t testing.TB) *Machine {
	t.Helper()
	return WithKernel(t, kernelrpm.Stable)
}

// WithKernel makes a machine with a kernel that is given.
func WithKernel(t testing.TB, kernel kernelrpm.Kernel) *Machine {
	t.Helper()
	for _, name := range []string{"qemu-system-x86_64", "mmdebstrap", "mke2fs"} {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") == "" {
				t.Skipf("needs %s", name)
			}
			require.NoError(t, err)
		}
	}
	m := &Machine{t: t, dir: t.TempDir(), cpu: "qemu64"}
	if kernel != kernelrpm.Stable { // newer ones use cmpxchg16b, whose flags QEMU 7.2 sometimes gets wrong
		m.cpu = "qemu64,-cx16"
	}
	m.Root = filepath.Join(m.dir, "root")
	require.NoError(t, os.Mkdir(m.Root, 0o755))
	m.host("tar", "-C", m.Root, "-xf", m.system(kernel))
	m.kernel, m.initrd = m.only("boot/vmlinuz-*"), m.only("boot/initrd.img-*")
	m.host("go", "build", "-o", filepath.Join(m.Root, "usr/libexec/agent"), "github.com/openeuler/syscare/tests/vm/agent")
	m.Unit("agent.service", "[Service]\nExecStart=/usr/libexec/agent /dev/ttyS1\n[Install]\nWantedBy=multi-user.target\n")
	return m
}

// system gives the archive of the root file system.
func (m *Machine) system(kernel kernelrpm.Kernel) string {
	m.t.Helper()
	cache, err := debian.Cache()
	require.NoError(m.t, err)
	dir := filepath.Join(cache, "vm-5-"+kernel.Release) // the number counts changes of what is in it
	unlock, err := debian.Lock(filepath.Join(cache, "vm.lock"))
	require.NoError(m.t, err)
	defer unlock()
	err = debian.Entry(dir, func(dir string) error {
		args := []string{"--variant=minbase", "--include=" + packages + kernel.Release, "bookworm", filepath.Join(dir, "root.tar")}
		if archive := kernel.Archive(); archive != "" {
			args = append(args, "http://deb.debian.org/debian", archive)
		}
		out, err := exec.CommandContext(m.t.Context(), "mmdebstrap", args...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("mmdebstrap: %w\n%s", err, out)
		}
		return err
	})
	require.NoError(m.t, err)
	return filepath.Join(dir, "root.tar")
}

func (m *Machine) only(pattern string) string {
	m.t.Helper()
	found, err := filepath.Glob(filepath.Join(m.Root, pattern))
	require.NoError(m.t, err)
	require.Len(m.t, found, 1)
	path := filepath.Join(m.dir, filepath.Base(found[0]))
	data, err := os.ReadFile(found[0])
	require.NoError(m.t, err)
	require.NoError(m.t, os.WriteFile(path, data, 0o600))
	return path
}

func (m *Machine) host(name string, args ...string) {
	m.t.Helper()
	cmd := exec.CommandContext(m.t.Context(), name, args...)
	if name == "go" {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	}
	out, err := cmd.CombinedOutput()
	require.NoError(m.t, err, "%s %v\n%s", name, args, out)
}

// Unit puts a systemd unit into Root and enables it.
func (m *Machine) Unit(name, text string) {
	m.t.Helper()
	require.NoError(m.t, os.WriteFile(filepath.Join(m.Root, "etc/systemd/system", name), []byte(text), 0o644))
	m.Enable(name)
}

// Enable lets the boot start a unit that is in Root.
func (m *Machine) Enable(name string) {
	m.t.Helper()
	m.host("systemctl", "--root="+m.Root, "enable", name)
}

// Boot starts the machine, and returns when it runs commands.
func (m *Machine) Boot() {
	m.t.Helper()
	disk := filepath.Join(m.dir, "disk")
	if m.qemu == nil {
		require.NoError(m.t, os.WriteFile(disk, nil, 0o600))
		require.NoError(m.t, os.Truncate(disk, 2<<30))
		m.host("mke2fs", "-q", "-t", "ext4", "-d", m.Root, disk)
		require.NoError(m.t, os.RemoveAll(m.Root))
	}
	socket, console := filepath.Join(m.dir, "agent"), filepath.Join(m.dir, "console")
	_ = os.Remove(socket)
	m.qemu = exec.Command("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", m.cpu, "-m", "1024", "-smp", "2",
		"-nodefaults", "-display", "none", "-no-reboot", "-kernel", m.kernel, "-initrd", m.initrd,
		"-append", "root=/dev/vda rw console=ttyS0 panic=-1 quiet systemd.show_status=1 systemd.mask=getty.target systemd.mask=e2scrub_reap.service systemd.mask=timers.target",
		"-drive", "file="+disk+",if=virtio,format=raw", "-serial", "file:"+console, "-serial", "unix:"+socket+",server=on,wait=off")
	m.qemu.Stderr = os.Stderr
	require.NoError(m.t, m.qemu.Start())
	m.t.Cleanup(m.Cut)
	deadline := time.Now().Add(bootTime)
	var err error
	require.Eventually(m.t, func() bool {
		m.line, err = net.Dial("unix", socket)
		return err == nil
	}, 10*time.Second, 10*time.Millisecond, "%v", err)
	m.answers = bufio.NewReader(m.line)
	require.NoError(m.t, m.line.SetDeadline(deadline))
	text, err := m.answers.ReadString('\n')
	if err != nil || !strings.Contains(text, "ready") {
		said, _ := os.ReadFile(console)
		require.NoError(m.t, err, "it does not boot:\n%s", said)
		require.Fail(m.t, "the agent says "+text)
	}
}

// Try runs a shell script in the machine and returns its output and exit code.
func (m *Machine) Try(script string) (output string, code int) {
	m.t.Helper()
	require.NoError(m.t, m.line.SetDeadline(time.Now().Add(2*time.Minute)))
	require.NoError(m.t, json.NewEncoder(m.line).Encode(script))
	text, err := m.answers.ReadBytes('\n')
	require.NoError(m.t, err, "the machine does not answer: %s", script)
	var answer struct {
		Output string
		Code   int
	}
	require.NoError(m.t, json.Unmarshal(text, &answer), "%s", text)
	return answer.Output, answer.Code
}

// Run runs a shell script that has to succeed and returns its output.
func (m *Machine) Run(script string) string {
	m.t.Helper()
	output, code := m.Try(script)
	require.Zero(m.t, code, "%s\n%s", script, output)
	return output
}

// Off shuts the machine down in order.
func (m *Machine) Off() {
	m.t.Helper()
	require.NoError(m.t, json.NewEncoder(m.line).Encode("systemctl poweroff"))
	late := time.AfterFunc(2*time.Minute, m.Cut)
	defer late.Stop()
	require.NoError(m.t, m.qemu.Wait(), "it does not shut down")
	_ = m.line.Close()
}

// Cut takes its power away.
func (m *Machine) Cut() {
	_ = m.qemu.Process.Kill()
	_ = m.qemu.Wait()
	if m.line != nil {
		_ = m.line.Close()
	}
}
