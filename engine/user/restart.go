package user

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Results that the kernel turns into a restart by itself, include/linux/errno.h.
const (
	eRestartSys      = 512
	eRestartNoIntr   = 513
	eRestartNoHand   = 514
	eRestartRestartB = 516
)

// syscallSize is the length of the syscall instruction.
const syscallSize = 2

// restartable are the system calls that end with EINTR on any wake-up, also on
// one that no signal handler saw, signal(7), and that have done nothing by
// then: starting them over cannot be told from their having gone on.
var restartable = map[uint64]bool{
	unix.SYS_EPOLL_WAIT: true, unix.SYS_EPOLL_PWAIT: true, unix.SYS_EPOLL_PWAIT2: true,
	unix.SYS_IO_GETEVENTS: true, unix.SYS_IO_PGETEVENTS: true, unix.SYS_IO_URING_ENTER: true,
	unix.SYS_SEMOP: true, unix.SYS_SEMTIMEDOP: true, unix.SYS_RT_SIGTIMEDWAIT: true,
	// Sockets with SO_RCVTIMEO or SO_SNDTIMEO.
	unix.SYS_READ: true, unix.SYS_READV: true, unix.SYS_RECVFROM: true, unix.SYS_RECVMSG: true, unix.SYS_RECVMMSG: true,
	unix.SYS_WRITE: true, unix.SYS_WRITEV: true, unix.SYS_SENDTO: true, unix.SYS_SENDMSG: true, unix.SYS_SENDMMSG: true,
	unix.SYS_ACCEPT: true, unix.SYS_ACCEPT4: true,
}

// cutShort reports whether the system call ended with EINTR because of our
// stop alone.
func (t *tracer) cutShort(th *thread) bool {
	if int64(th.regs.Rax) != -int64(unix.EINTR) || !restartable[th.regs.Orig_rax] {
		return false
	}
	return !queued(th.tid) || !t.signalDue(th.tid)
}

// rewind starts a system call over that our stop cut short. One that the kernel
// would continue with another, restart_syscall, starts over too where that may
// be forbidden: a filter for system calls would kill the program for it.
func (t *tracer) rewind(th *thread) {
	forbidden := t.filtered && int64(th.regs.Orig_rax) >= 0 && int64(th.regs.Rax) == -eRestartRestartB
	if !forbidden && !t.cutShort(th) {
		return
	}
	regs := th.regs
	regs.Rax = regs.Orig_rax
	regs.Rip -= syscallSize
	_ = setRegs(th.tid, &regs) // fails only for a dead thread
}

// signalDue reports whether an unblocked signal is pending: then EINTR is what
// the program has to see.
func (t *tracer) signalDue(tid int) bool {
	status, err := os.ReadFile(t.proc.path(fmt.Sprintf("task/%d/status", tid)))
	if err != nil {
		return true
	}
	field := func(name string) uint64 { return statusField(status, name, 16) }
	return (field("SigPnd")|field("ShdPnd"))&^field("SigBlk") != 0
}

// statusField is a number in /proc/PID/status, 0 if there is none.
func statusField(status []byte, name string, base int) uint64 {
	_, rest, _ := bytes.Cut(status, []byte("\n"+name+":\t"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	v, err := strconv.ParseUint(string(line), base, 64)
	if err != nil {
		return 0
	}
	return v
}

// filtered reports whether any thread has a filter for system calls (seccomp).
func (s *session) filtered() bool {
	t := &tracer{proc: s.proc, tasks: s.tasks}
	if t.list() != nil {
		return true // then rather start over what needs not be
	}
	for _, tid := range t.tids {
		status, err := os.ReadFile(s.proc.path(fmt.Sprintf("task/%d/status", tid)))
		if err == nil && statusField(status, "Seccomp", 10) != 0 {
			return true
		}
	}
	return false
}

// resumed returns the registers with which a thread goes on by itself when
// nobody will do the kernel's restart handling for it.
func resumed(regs unix.PtraceRegs, cutShort bool) unix.PtraceRegs {
	if int64(regs.Orig_rax) < 0 {
		return regs
	}
	switch -int64(regs.Rax) {
	case eRestartSys, eRestartNoIntr, eRestartNoHand, eRestartRestartB:
		cutShort = true
	}
	if cutShort {
		regs.Rax = regs.Orig_rax
		regs.Rip -= syscallSize
	}
	return regs
}
