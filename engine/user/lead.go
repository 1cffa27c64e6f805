package user

import (
	"errors"
	"math/rand/v2"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxLeading bounds how long all threads stand while some are led out of the
// functions in question.
const maxLeading = 20 * time.Millisecond

// lead lets one busy thread run for a moment again and again until it is in no
// zone. The thread may wait for one that stands, or be in a zone nearly always;
// then its time runs out and it is left where it is.
//
// It is never single-stepped, exact as that would be: if the tracer is killed
// then, the kernel leaves the trap flag as it is, and the program dies of the
// next trap. A thread that is to be interrupted just runs on.
func (x *examiner) lead(t *tracer, th *thread, limit time.Time) error {
	for !th.dead && !th.suspended && int64(th.regs.Orig_rax) < 0 && time.Now().Before(limit) {
		if err := t.runFor(th, rand.N(longestRun)); err != nil || th.dead {
			return err
		}
		var busy ErrBusy
		if err := x.check(th); err == nil || !errors.As(err, &busy) {
			return err
		}
	}
	return nil
}

// longestRun of a thread that is led; of any length below it, so that no rhythm
// of the program is met again and again.
const longestRun = 100 * time.Microsecond

// runFor resumes a thread for about that time and stops it again.
func (t *tracer) runFor(th *thread, d time.Duration) error {
	th.stopped, th.asked, th.haveRegs = false, false, false
	if err := ptrace(unix.PTRACE_CONT, th.tid, 0, uintptr(th.signal)); err != nil {
		th.dead = errors.Is(err, unix.ESRCH)
		return nil
	}
	th.signal = 0
	ts := unix.NsecToTimespec(d.Nanoseconds())
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
	if err := t.stopOne(th); err != nil {
		return err
	}
	return t.loadRegs()
}
