package user

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/openeuler/syscare/engine/object"
)

// Process names one process for ever: a reused PID has another start time.
type Process struct {
	PID       int
	StartTime uint64 // in clock ticks after boot; field 22 of /proc/PID/stat
}

// stat is what we need of /proc/PID/stat, proc_pid_stat(5).
type stat struct {
	state      byte
	startTime  uint64
	startStack uint64
}

func readStat(path string) (stat, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return stat{}, err
	}
	// The command name may hold anything, parentheses and spaces included.
	end := bytes.LastIndexByte(data, ')')
	fields := strings.Fields(string(data[end+1:]))
	if end < 0 || len(fields) < 26 {
		return stat{}, fmt.Errorf("%s: not understood", path)
	}
	s := stat{state: fields[0][0]}
	var errStart, errStack error
	s.startTime, errStart = strconv.ParseUint(fields[22-3], 10, 64)
	s.startStack, errStack = strconv.ParseUint(fields[28-3], 10, 64)
	return s, errors.Join(errStart, errStack)
}

func (p Process) path(name string) string { return fmt.Sprintf("/proc/%d/%s", p.PID, name) }

// Open names the process that has pid now.
func Open(pid int) (Process, error) {
	p := Process{PID: pid}
	s, err := readStat(p.path("stat"))
	if err != nil {
		if gone(err) {
			return Process{}, ErrGone{PID: pid}
		}
		return Process{}, err
	}
	p.StartTime = s.startTime
	return p, nil
}

// alive reports whether the process still runs its program.
func (p Process) alive() bool {
	s, err := readStat(p.path("stat"))
	if err != nil || s.startTime != p.StartTime || s.state == 'X' {
		return false
	}
	if s.state != 'Z' {
		return true
	}
	// A dead leader does not end the process while other threads run.
	tasks, err := os.ReadDir(p.path("task"))
	return err == nil && len(tasks) > 1
}

// explain turns err into ErrGone if the process is no more.
func (p Process) explain(err error) error {
	if err != nil && !p.alive() {
		return ErrGone{PID: p.PID}
	}
	return err
}

func gone(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) }

// Find returns the processes that map an ELF file with that build ID, in the
// order of their PIDs. Processes that vanish meanwhile are left out, and so are,
// for root, those that the system does not let it look into.
func Find(ctx context.Context, id object.BuildID) ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	known := &knownFiles{ids: map[fileID]object.BuildID{}}
	found := make([]*Process, len(pids))
	group, ctx := errgroup.WithContext(ctx)
	// The work is the kernel's, which answers for several processes at once.
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		group.Go(func() error {
			for i := w; i < len(pids); i += workers {
				if err := ctx.Err(); err != nil {
					return err
				}
				p, has, err := runs(pids[i], id, known)
				if err != nil {
					return err
				}
				if has {
					found[i] = &p
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var all []Process
	for _, p := range found {
		if p != nil {
			all = append(all, *p)
		}
	}
	slices.SortFunc(all, func(a, b Process) int { return a.PID - b.PID })
	return all, nil
}

// runs reports whether the process with pid maps an ELF file with that build ID.
func runs(pid int, id object.BuildID, known *knownFiles) (Process, bool, error) {
	p, err := Open(pid)
	if err != nil {
		return p, false, nil // it has ended
	}
	has, err := p.has(id, known)
	if errors.Is(err, os.ErrPermission) && os.Geteuid() == 0 {
		return p, false, nil // out of even root's reach, and so of any patch's
	}
	// A process on its way out loses its memory before its state.
	if err != nil && (gone(err) || !p.alive()) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("process %d: %w", pid, err)
	}
	return p, has, nil
}

// knownFiles are the build IDs of files that some process maps.
type knownFiles struct {
	mu  sync.Mutex
	ids map[fileID]object.BuildID
}

func (k *knownFiles) get(f fileID) (object.BuildID, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id, ok := k.ids[f]
	return id, ok
}

func (k *knownFiles) put(f fileID, id object.BuildID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ids[f] = id
}

func (p Process) has(id object.BuildID, known *knownFiles) (bool, error) {
	reader := mapsReader{}
	var err error
	if reader.fd, err = unix.Open(p.path("maps"), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return false, err
	}
	defer reader.close()
	maps, err := reader.read()
	if err != nil || len(maps) == 0 { // kernel threads map nothing
		return false, err
	}
	mem := memory{fd: -1}
	defer func() { mem.close() }()
	for i, m := range maps {
		if m.file.inode == 0 || m.offset != 0 || !m.read {
			continue
		}
		got, ok := known.get(m.file)
		if ok && got != id {
			continue
		}
		if mem.fd < 0 {
			if mem.fd, err = unix.Open(p.path("mem"), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
				return false, err
			}
		}
		img, ok := readImage(mem, maps, i)
		if !ok { // mapped as data here; elsewhere it may be code
			continue
		}
		known.put(m.file, img.buildID)
		if img.buildID == id {
			return true, nil
		}
	}
	return false, nil
}

func (m memory) close() {
	if m.fd >= 0 {
		_ = unix.Close(m.fd)
	}
}

// File is the path, as this process sees it, of the file with that build ID that
// p maps: in p's root directory. os.ErrNotExist if it was deleted or replaced.
func (p Process) File(id object.BuildID) (string, error) {
	data, err := os.ReadFile(p.path("maps"))
	if err != nil {
		return "", p.explain(err)
	}
	maps, err := parseMaps(data, nil)
	if err != nil {
		return "", err
	}
	fd, err := unix.Open(p.path("mem"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", p.explain(err)
	}
	mem := memory{fd: fd}
	defer mem.close()
	img, err := locate(images(mem, maps), id)
	if err != nil {
		return "", err
	}
	m := find(maps, img.start)
	if m == nil || len(m.name) == 0 || m.name[0] != '/' || bytes.HasSuffix(m.name, []byte(" (deleted)")) {
		return "", os.ErrNotExist
	}
	if own, err := os.Readlink(p.path("root")); err == nil && own == "/" && sameNamespace(p) {
		return string(m.name), nil
	}
	return p.path("root") + string(m.name), nil
}

// sameNamespace reports whether p sees the same mounts as we do.
func sameNamespace(p Process) bool {
	theirs, err := os.Readlink(p.path("ns/mnt"))
	ours, ourErr := os.Readlink("/proc/self/ns/mnt")
	return err == nil && ourErr == nil && theirs == ours
}
