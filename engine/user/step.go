package user

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxLeading bounds how long all threads stand while some are led out of the
// functions in question.
const maxLeading = 20 * time.Millisecond

const maxSteps = 4000

// stepOut runs one thread instruction by instruction until it is in no zone.
// It never enters the kernel, so it cannot wait for a thread that stands. A
// thread that is not out in time is left where it is: busy.
func (x *examiner) stepOut(_ *tracer, th *thread, limit time.Time) error {
	top := uint64(0)
	for range maxSteps {
		if th.dead || th.suspended || int64(th.regs.Orig_rax) >= 0 || time.Now().After(limit) {
			return nil
		}
		// A stack that did not shrink holds what it held before.
		if !x.executing(th.regs.Rip) && th.regs.Rsp > top {
			var busy ErrBusy
			if err := x.check(th); err == nil || !errors.As(err, &busy) {
				return err
			}
			top = th.regs.Rsp
		}
		if plain, err := x.plain(th.regs.Rip); err != nil || !plain {
			return err
		}
		if err := step(th); err != nil {
			return err
		}
	}
	return nil
}

// runOut lets one thread run for a moment again and again until it is in no
// zone: code that throws exceptions is never left within a number of steps. The
// thread may wait for one that stands; then its time runs out.
func (x *examiner) runOut(t *tracer, th *thread, limit time.Time) error {
	for !th.dead && !th.suspended && int64(th.regs.Orig_rax) < 0 && time.Now().Before(limit) {
		if err := t.runFor(th, 10*time.Microsecond+rand.N(90*time.Microsecond)); err != nil || th.dead {
			return err
		}
		var busy ErrBusy
		if err := x.check(th); err == nil || !errors.As(err, &busy) {
			return err
		}
	}
	return nil
}

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

func (x *examiner) executing(pc uint64) bool {
	for _, z := range x.zones {
		if z.hasPC(pc) {
			return true
		}
	}
	return false
}

// plain reports whether the next instruction is none that enters the kernel by
// design: syscall, sysenter, int, int3.
func (x *examiner) plain(pc uint64) (bool, error) {
	var code [2]byte
	if err := x.mem.read(code[:], pc); err != nil {
		return false, err
	}
	enters := code == [2]byte{0x0f, 0x05} || code == [2]byte{0x0f, 0x34} || code[0] == 0xcd || code[0] == 0xcc || code[0] == 0xf1
	return !enters, nil
}

// step executes one instruction, or enters the handler of the signal that
// waits.
func step(th *thread) error {
	if err := ptrace(unix.PTRACE_SINGLESTEP, th.tid, 0, uintptr(th.signal)); err != nil {
		th.dead = errors.Is(err, unix.ESRCH)
		return nil
	}
	th.signal = 0
	th.stopped = false
	began := time.Now()
	for round := 0; ; round++ {
		got, status, err := poll(th.tid)
		switch {
		case err != nil || got != 0 && !status.Stopped():
			th.dead, th.reaped = true, true
			return nil
		case got == 0:
			if time.Since(began) > stopPatience {
				return errUnstopped{tid: th.tid}
			}
			nap(round)
			continue
		}
		th.stopped = true
		switch sig := status.StopSignal(); {
		case int(status>>16) == eventStop:
			th.suspended = sig != unix.SIGTRAP
		case sig != unix.SIGTRAP:
			th.signal = int(sig)
		}
		if err := getRegs(th.tid, &th.regs); errors.Is(err, unix.ESRCH) {
			th.dead = true
		} else if err != nil {
			return fmt.Errorf("registers of thread %d: %w", th.tid, err)
		}
		return nil
	}
}
