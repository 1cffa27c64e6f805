package user

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// maxStepping bounds how long all threads stand while some are stepped.
const maxStepping = 20 * time.Millisecond

const maxSteps = 4000

// stepOut runs one thread instruction by instruction until it is in no zone.
// It never enters the kernel, so it cannot wait for a thread that stands. A
// thread that is not out in time is left where it is: busy.
func (x *examiner) stepOut(th *thread, limit time.Time) error {
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
