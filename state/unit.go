package state

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// containerNames find the name of a container in the path of its control group, as
// Docker, Podman, CRI-O, containerd, LXC and systemd-nspawn make it.
var containerNames = []*regexp.Regexp{
	regexp.MustCompile(`(?:docker|libpod|crio|containerd)-([0-9a-f]{12})[0-9a-f]{52}`),
	regexp.MustCompile(`/(?:docker|kubepods[^/]*(?:/[^/]+)*)/([0-9a-f]{12})[0-9a-f]{52}(?:/|$)`),
	regexp.MustCompile(`/lxc\.payload\.([^/]+)`),
	regexp.MustCompile(`/machine\.slice/machine-([^/]+)\.scope`),
	regexp.MustCompile(`/machine\.slice/systemd-nspawn@([^/]+)\.service`),
}

// whereabouts tells the systemd unit and the container of a process, "" if there
// is none. systemd itself reads the same: cgroups(7).
func whereabouts(pid int) (unit, container string) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", ""
	}
	unit, container = parseCgroup(string(data))
	if container == "" {
		ours, err1 := os.Readlink("/proc/self/ns/pid")
		theirs, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
		if err1 == nil && err2 == nil && ours != theirs {
			container = theirs
		}
	}
	return unit, container
}

// parseCgroup reads the lines "ID:CONTROLLERS:PATH". The one of systemd is that of
// version 2, "0::", or that of the hierarchy "name=systemd".
func parseCgroup(text string) (unit, container string) {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 || parts[1] != "" && parts[1] != "name=systemd" {
			continue
		}
		for _, name := range strings.Split(parts[2], "/") {
			if kind := filepath.Ext(name); kind == ".service" || kind == ".scope" {
				unit = strings.TrimPrefix(name, "_") // cgroup names that mean something are escaped so
				break
			}
		}
		for _, names := range containerNames {
			if m := names.FindStringSubmatch(parts[2]); m != nil {
				container = m[1]
				break
			}
		}
		if unit != "" || container != "" {
			break
		}
	}
	return unit, container
}
