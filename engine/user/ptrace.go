package user

import (
	"errors"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests that package unix does not name.
const (
	ptraceGetSigMask  = 0x420a
	ptraceSetSigMask  = 0x420b
	ptracePeekSigInfo = 0x4209
	ntPRFPReg         = 2
	ntX86XState       = 0x202
	peekShared        = 1
	saNoCldStop       = 1
)

// Raw system calls: none of these blocks, and a stop must not wait for the Go
// scheduler.
func ptrace(request, tid int, addr, data uintptr) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), addr, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// seize attaches without stopping. Suspending seccomp needs CAP_SYS_ADMIN and
// a tracer without filters of its own; the stop works without, too.
func seize(tid int) error {
	const options = unix.PTRACE_O_TRACESYSGOOD
	err := ptrace(unix.PTRACE_SEIZE, tid, 0, options|unix.PTRACE_O_SUSPEND_SECCOMP)
	if err == unix.EPERM || err == unix.EINVAL {
		err = ptrace(unix.PTRACE_SEIZE, tid, 0, options)
	}
	return err
}

func getRegs(tid int, regs *unix.PtraceRegs) error {
	err := ptrace(unix.PTRACE_GETREGS, tid, 0, uintptr(unsafe.Pointer(regs)))
	runtime.KeepAlive(regs)
	return err
}

func setRegs(tid int, regs *unix.PtraceRegs) error {
	err := ptrace(unix.PTRACE_SETREGS, tid, 0, uintptr(unsafe.Pointer(regs)))
	runtime.KeepAlive(regs)
	return err
}

func sigMask(tid int) (uint64, error) {
	var mask uint64
	err := ptrace(ptraceGetSigMask, tid, 8, uintptr(unsafe.Pointer(&mask)))
	return mask, err
}

func setSigMask(tid int, mask uint64) error {
	return ptrace(ptraceSetSigMask, tid, 8, uintptr(unsafe.Pointer(&mask)))
}

// xstate returns the thread's extended state in XSAVE's standard format or, on a
// processor without XSAVE, as some virtual ones are, in that of FXSAVE.
func xstate(tid int) ([]byte, error) {
	buf := make([]byte, 64<<10)
	iov := unix.Iovec{Base: &buf[0], Len: uint64(len(buf))}
	err := ptrace(unix.PTRACE_GETREGSET, tid, ntX86XState, uintptr(unsafe.Pointer(&iov)))
	if errors.Is(err, unix.ENODEV) {
		err = ptrace(unix.PTRACE_GETREGSET, tid, ntPRFPReg, uintptr(unsafe.Pointer(&iov)))
	}
	runtime.KeepAlive(buf)
	return buf[:iov.Len], err
}

func setXstate(tid int, state []byte) error {
	iov := unix.Iovec{Base: &state[0], Len: uint64(len(state))}
	kind := uintptr(ntX86XState)
	if len(state) == fxsaveSize {
		kind = ntPRFPReg
	}
	err := ptrace(unix.PTRACE_SETREGSET, tid, kind, uintptr(unsafe.Pointer(&iov)))
	runtime.KeepAlive(state)
	return err
}

// queued reports whether any signal, blocked or not, waits in the queue of the
// thread or of its process.
func queued(tid int) bool {
	args := struct {
		off   uint64
		flags uint32
		nr    int32
	}{nr: 1}
	var info [128]byte
	for _, args.flags = range []uint32{0, peekShared} {
		n, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, ptracePeekSigInfo, uintptr(tid),
			uintptr(unsafe.Pointer(&args)), uintptr(unsafe.Pointer(&info)), 0, 0)
		if errno != 0 || n > 0 {
			return true // the slow way will tell
		}
	}
	return false
}

// ignoreStops makes the kernel leave out the SIGCHLD that it would send us for
// each stop of a thread that we trace: every one of them would wake another of
// our threads, on the processor that the next one needs in order to stop. What
// is sent for children that end stays as it is.
var ignoreStops = sync.OnceFunc(func() {
	// struct sigaction of the kernel, <asm/signal.h> of x86
	var action struct {
		handler, flags, restorer uintptr
		mask                     uint64
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), 0, uintptr(unsafe.Pointer(&action)), unsafe.Sizeof(action.mask), 0, 0)
	if errno == 0 && action.flags&saNoCldStop == 0 {
		action.flags |= saNoCldStop
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), uintptr(unsafe.Pointer(&action)), 0, unsafe.Sizeof(action.mask), 0, 0)
	}
})

// poll asks for a status change of one thread without blocking; tid 0 means
// none yet. Waiting for any child would steal the caller's other children.
func poll(tid int) (got int, status unix.WaitStatus, err error) {
	var raw uint32
	n, _, errno := unix.RawSyscall6(unix.SYS_WAIT4, uintptr(tid), uintptr(unsafe.Pointer(&raw)), unix.WNOHANG|unix.WALL, 0, 0, 0)
	if errno != 0 {
		return 0, 0, errno
	}
	return int(n), unix.WaitStatus(raw), nil
}

// nap gives the processor away, at first only to whoever is ready to run.
func nap(round int) {
	if round < 64 {
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		return
	}
	ts := unix.Timespec{Nsec: min(int64(round-63)*10_000, 1_000_000)}
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// undisturbed runs f before everything else that wants this processor: each
// thread of many that are let go would take it away at once, and hold up those
// that still stand. Where that is not allowed it runs as it is.
func undisturbed[T any](f func() T) T {
	before, err := unix.SchedGetAttr(0, 0)
	if err == nil {
		first := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
		err = unix.SchedSetAttr(0, &first, 0)
	}
	if err == nil {
		defer func() { _ = unix.SchedSetAttr(0, before, 0) }() // back to less needs no right
	}
	return f()
}

// onThread runs f on an OS thread of its own kind: locked, and not the
// process's first. If f returns false the thread ends, and the kernel detaches
// whatever it still traces: the only way to let go of a thread that does not
// stop.
func onThread(f func() (clean bool)) {
	done := make(chan struct{})
	left := 0
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// Go never ends the first thread; keep it busy while another
			// one is found.
			onThread(f)
			runtime.UnlockOSThread()
			close(done)
			return
		}
		if f() {
			runtime.UnlockOSThread()
		} else {
			left = unix.Gettid()
		}
		close(done)
	}()
	<-done
	// The next attempt must not find the threads still held by the last one.
	for round := 0; left != 0 && round < 1000 && unix.Tgkill(unix.Getpid(), left, 0) == nil; round++ {
		time.Sleep(100 * time.Microsecond)
	}
}
