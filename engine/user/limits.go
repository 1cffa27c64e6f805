package user

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// A memory controller of control groups, cgroups(7), where systems mount it.
type memoryController struct {
	name  string // in /proc/PID/cgroup; "" in version 2
	root  string
	limit string
	usage string
	cache []string // in memory.stat: what the kernel takes back first
}

var memoryControllers = []memoryController{
	{"", "/sys/fs/cgroup", "memory.max", "memory.current", []string{"inactive_file", "active_file"}},
	{"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", []string{"total_inactive_file", "total_active_file"}},
}

// unlimited is far below what version 1 writes for no limit.
const unlimited = 1 << 62

// spareMemory is for page tables and whatever else the kernel needs beside a
// region.
const spareMemory = 128 << 10

// checkMemory refuses to use memory that a control group of the process does not
// have: the kernel would kill a process of the group for it.
func (l *loader) checkMemory() error {
	groups, err := os.ReadFile(l.proc.path("cgroup"))
	if err != nil {
		return nil // a kernel without control groups
	}
	need := l.layout.rxSize + l.layout.rwSize + spareMemory
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		for _, c := range memoryControllers {
			if len(fields) != 3 || fields[1] != c.name {
				continue
			}
			for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
				if room := c.room(group); room < need {
					return ErrNoMemory{PID: l.proc.PID, Bytes: need, Room: room, Group: group}
				}
				if group == "/" {
					break
				}
			}
		}
	}
	return nil
}

// room is how many bytes a group may still use.
func (c memoryController) room(group string) uint64 {
	read := func(name string) (uint64, bool) {
		data, err := os.ReadFile(path.Join(c.root, group, name))
		if err != nil {
			return 0, false
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(data)), 10, 64)
		return n, err == nil
	}
	limit, limited := read(c.limit)
	if !limited || limit >= unlimited { // "max", or no such controller here
		return math.MaxUint64
	}
	usage, known := read(c.usage)
	if !known {
		return math.MaxUint64
	}
	stat, _ := os.ReadFile(path.Join(c.root, group, "memory.stat"))
	for line := range strings.Lines(string(stat)) {
		for _, name := range c.cache {
			var n uint64
			if _, err := fmt.Sscanf(line, name+" %d", &n); err == nil {
				limit += min(n, math.MaxUint64-limit)
			}
		}
	}
	return limit - min(usage, limit)
}
