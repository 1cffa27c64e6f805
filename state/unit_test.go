package state

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Where processes run, as the kernel tells it on real systems.
func TestWhereabouts(t *testing.T) {
	id := strings.Repeat("0123456789ab", 5) + "cdef" // 64 digits
	for _, row := range []struct{ name, cgroup, unit, container string }{
		{"service", "0::/system.slice/redis.service\n", "redis.service", ""},
		{"template", "0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service", ""},
		{"delegated", "0::/system.slice/redis.service/worker/1\n", "redis.service", ""},
		{"session", "0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope", ""},
		{"unit of a user", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/redis.service\n", "user@1000.service", ""},
		{"version 1", "12:memory:/elsewhere.service\n1:name=systemd:/system.slice/redis.service\n", "redis.service", ""},
		{"hybrid", "1:name=systemd:/system.slice/redis.service\n0::/\n", "redis.service", ""},
		{"Docker with systemd", "0::/system.slice/docker-" + id + ".scope\n", "docker-" + id + ".scope", "0123456789ab"},
		{"Docker without", "0::/docker/" + id + "\n", "", "0123456789ab"},
		{"Podman", "0::/machine.slice/libpod-" + id + ".scope/container\n", "libpod-" + id + ".scope", "0123456789ab"},
		{"CRI-O", "0::/kubepods.slice/kubepods-pod1.slice/crio-" + id + ".scope\n", "crio-" + id + ".scope", "0123456789ab"},
		{"containerd", "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id + ".scope\n", "cri-containerd-" + id + ".scope", "0123456789ab"},
		{"Kubernetes without systemd", "0::/kubepods/burstable/pod1/" + id + "\n", "", "0123456789ab"},
		{"LXC", "0::/lxc.payload.web1/system.slice/redis.service\n", "redis.service", "web1"},
		{"nspawn", "0::/machine.slice/systemd-nspawn@web1.service/payload\n", "systemd-nspawn@web1.service", "web1"},
		{"root", "0::/\n", "", ""},
		{"not what the kernel writes", "nonsense\n0:\n::\n", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			unit, container := parseCgroup(row.cgroup)
			assert.Equal(t, row.unit, unit)
			assert.Equal(t, row.container, container)
		})
	}
	_, container := whereabouts(os.Getpid())
	_, same := whereabouts(os.Getppid())
	assert.Equal(t, same, container, "a process in our own namespace")
}
