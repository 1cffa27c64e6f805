package user

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/openeuler/syscare/engine/object"
)

// A program that starts is held from the opening of its file until it has been
// patched: it is followed over its exec and through the work of the dynamic
// linker, from one system call to the next, to the moment when a target is
// mapped and relocated and none of its code has run. That is when the dynamic
// linker write-protects what it has relocated (RELRO). A library is followed in
// the same way from its opening, at the start of a program or in dlopen.
//
// Only stops at system calls are used, which do no harm when their tracer dies:
// the program goes on, unpatched.

// errLate says that the program could not be stopped at that moment: it has to
// be patched as any other.
var errLate = errors.New("the program is not at its start any more")

// follower is one thread that is followed, on a locked OS thread.
type follower struct {
	tid    int
	limit  time.Time
	proc   Process
	mem    memory
	maps   mapsReader
	loader span // code of the dynamic linker, once it is known
}

// open prepares looking into the process, which has another memory after an
// exec.
func (f *follower) open(pid int) error {
	f.close()
	f.loader = span{}
	var err error
	if f.proc, err = Open(pid); err != nil {
		return err
	}
	if f.mem.fd, err = unix.Open(f.proc.path("mem"), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	f.maps.fd, err = unix.Open(f.proc.path("maps"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return err
}

func (f *follower) close() {
	f.mem.close()
	f.maps.close()
	f.mem.fd = -1
}

// seizeStarting attaches to a thread that waits in an open or an exec, asks it to
// stop behind that, and ends its wait with allow.
//
// In an exec, kernels before 6.8 open the program with a lock held that attaching
// needs. There the wait ends when we sleep on that lock, which we are given before
// any code of the new program runs, or a moment later: it matters that we run then.
func (f *follower) seizeStarting(allow func()) error {
	defer allow()
	tid, done, began := unix.Gettid(), make(chan struct{}), time.Now()
	defer close(done)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(50 * time.Microsecond):
				if sleepsInPtrace(tid) || time.Since(began) > followTime/4 {
					allow()
					return
				}
			}
		}
	}()
	return undisturbed(func() error {
		const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACEEXEC
		// It may sleep: Go must know.
		_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(f.tid), 0, options, 0, 0)
		if errno != 0 {
			return errno
		}
		return ptrace(unix.PTRACE_INTERRUPT, f.tid, 0, 0)
	})
}

// sleepsInPtrace reports whether a thread of ours sleeps in ptrace(2).
func sleepsInPtrace(tid int) bool {
	call, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/syscall", tid))
	return err == nil && bytes.HasPrefix(call, fmt.Appendf(nil, "%d ", unix.SYS_PTRACE))
}

// next waits for the next stop of the thread and returns its event, 0 for a
// system call. Signals are passed on.
func (f *follower) next() (event int, err error) {
	for {
		for round := 0; ; round++ {
			got, status, err := poll(f.tid)
			switch {
			case err != nil || got != 0 && !status.Stopped():
				return 0, ErrGone{PID: f.tid}
			case got == 0 && time.Now().After(f.limit):
				return 0, errLate
			case got == 0:
				nap(round)
				continue
			}
			event, signal := int(status>>16), int(status>>8)&0xff
			if event != 0 || signal == sysGoodTrap {
				return event, nil
			}
			if err := ptrace(unix.PTRACE_SYSCALL, f.tid, 0, uintptr(signal)); err != nil {
				return 0, err
			}
			break
		}
	}
}

func (f *follower) step() (event int, err error) {
	if err := ptrace(unix.PTRACE_SYSCALL, f.tid, 0, 0); err != nil {
		return 0, err
	}
	return f.next()
}

// exec goes on to the exec that the thread is in. It reports whether the thread
// stands right behind it; else it may have failed, or some code of the new program
// may have run.
func (f *follower) exec() (behind bool, err error) {
	event, err := f.next()
	if err == nil && event != unix.PTRACE_EVENT_EXEC && event != eventStop {
		err = errLate
	}
	if err != nil {
		return false, err
	}
	return event == unix.PTRACE_EVENT_EXEC, f.open(f.tid)
}

// syscallInfo is the beginning of struct ptrace_syscall_info, ptrace(2).
type syscallInfo struct {
	op   uint8
	_    [3]byte
	_    uint32 // arch
	ip   uint64
	sp   uint64
	rest [8]uint64
}

const (
	syscallEntry = 1
	syscallExit  = 2
)

func (f *follower) info() (i syscallInfo, err error) {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(f.tid), unsafe.Sizeof(i), uintptr(unsafe.Pointer(&i)), 0, 0)
	if errno != 0 {
		err = errno
	}
	return i, err
}

// relocated goes on until the dynamic linker has relocated the target.
func (f *follower) relocated(id object.BuildID) error {
	var at, size, protection uint64 // of the mprotect under way
	for {
		event, err := f.step()
		if err != nil {
			return err
		}
		if event != 0 {
			continue
		}
		info, err := f.info()
		if err != nil {
			return err
		}
		switch info.op {
		case syscallEntry:
			at, size, protection = 0, 0, 0
			if info.rest[0] == unix.SYS_MPROTECT {
				at, size, protection = info.rest[1], info.rest[2], info.rest[3]
			}
			if loading, err := f.inLoader(info.ip); err != nil || !loading {
				return errors.Join(err, errLate) // code of its own runs
			}
		case syscallExit:
			if protection != unix.PROT_READ || info.rest[0] != 0 {
				continue
			}
			if ready, err := f.protects(id, at, size); err != nil || ready {
				return err
			}
		}
	}
}

// protects reports whether the range is what the target write-protects.
func (f *follower) protects(id object.BuildID, at, size uint64) (bool, error) {
	maps, err := f.maps.read()
	if err != nil {
		return false, err
	}
	m := find(maps, at)
	if m == nil {
		return false, nil
	}
	for _, img := range f.maps.imagesIn(f.mem) {
		relro, ok := img.segment(elf.PT_GNU_RELRO)
		if !ok || img.buildID != id || at < img.lo || at >= img.hi {
			continue
		}
		start, end := img.bias+relro.Vaddr, img.bias+relro.Vaddr+relro.Memsz
		return at <= start && at+size+pageSize > end, nil
	}
	return false, nil
}

// inLoader reports whether an address is in the dynamic linker.
func (f *follower) inLoader(ip uint64) (bool, error) {
	if f.loader.holds(span{ip, 1}) {
		return true, nil
	}
	maps, err := f.maps.read()
	if err != nil {
		return false, err
	}
	m := find(maps, ip)
	if m == nil || !isLoader(string(m.name)) {
		return false, nil
	}
	f.loader = span{m.start, m.end - m.start}
	return true, nil
}

func isLoader(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(base, "ld-linux") || strings.HasPrefix(base, "ld-musl") || strings.HasPrefix(base, "ld-2.") || base == "ld.so"
}

// isStatic reports whether the kernel starts the program without a dynamic
// linker.
func (f *follower) isStatic(id object.BuildID) (bool, error) {
	if _, err := f.maps.read(); err != nil {
		return false, err
	}
	img, err := locate(f.maps.imagesIn(f.mem), id)
	if err != nil {
		return false, err
	}
	_, dynamic := img.segment(elf.PT_INTERP)
	return !dynamic, nil
}

// still brings the thread from a stop at a system call to one like any other.
func (f *follower) still() error {
	if err := ptrace(unix.PTRACE_INTERRUPT, f.tid, 0, 0); err != nil {
		return err
	}
	if err := ptrace(unix.PTRACE_CONT, f.tid, 0, 0); err != nil {
		return err
	}
	for {
		event, err := f.next()
		if err != nil || event == eventStop {
			return err
		}
		if err := ptrace(unix.PTRACE_CONT, f.tid, 0, 0); err != nil {
			return err
		}
	}
}

// toStart follows the thread to the moment at which the target is to be
// patched; exec says that it is in an exec of the target, else it opens it. The
// thread stands then. allow ends the wait of the thread.
func (f *follower) toStart(id object.BuildID, exec bool, allow func()) error {
	if err := f.seizeStarting(allow); err != nil {
		return err
	}
	if !exec {
		if event, err := f.next(); err != nil || event != eventStop {
			return errors.Join(err, errLate)
		}
		tgid, err := threadGroup(f.tid)
		if err != nil {
			return err
		}
		if err := f.open(tgid); err != nil {
			return err
		}
		var regs unix.PtraceRegs
		if err := getRegs(f.tid, &regs); err != nil {
			return err
		}
		if loading, err := f.inLoader(regs.Rip); err != nil || !loading {
			return errors.Join(err, errLate) // it opens the file as any other
		}
	} else {
		behind, err := f.exec()
		if err != nil {
			return err
		}
		static, err := f.isStatic(id)
		if err != nil {
			return err
		}
		if static && !behind {
			return errLate
		}
		if static {
			return f.still()
		}
	}
	if err := f.relocated(id); err != nil {
		return err
	}
	return f.still()
}

// letGo ends the following.
func (f *follower) letGo() {
	if ptrace(unix.PTRACE_DETACH, f.tid, 0, 0) == nil {
		return
	}
	// It runs: stop it first.
	if ptrace(unix.PTRACE_INTERRUPT, f.tid, 0, 0) != nil {
		return
	}
	f.limit = time.Now().Add(stopPatience)
	if _, err := f.next(); err == nil {
		_ = ptrace(unix.PTRACE_DETACH, f.tid, 0, 0)
	}
}
