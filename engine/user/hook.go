package user

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openeuler/syscare/engine/isa"
	"github.com/openeuler/syscare/engine/patchobject"
)

// A patch may have hooks: functions of its own that run in the process while
// all its threads stand. One thread is borrowed for them. It runs on a stack in
// the patch's memory, at whose top a signal frame waits: a hook returns into an
// rt_sigreturn that brings the thread back to where it was. So it does also if
// the tracer dies, or lets it go because the hook took too long.
//
// Where hooks are in the region:
//
//	 0  code that they return to, see isa.Arch.Return
//	16  table: of each hook u64 kind (1 pre-apply, 2 post-apply, 3 pre-remove,
//	    4 post-remove) and u64 address
const (
	hookTable = 16
	hookEntry = 16
	hookStack = 256 << 10
	// hookTime is how long a hook may take.
	hookTime = 200 * time.Millisecond
	// hookSignals are not held up while a hook runs: they are its own faults.
	hookSignals = 1<<(unix.SIGSEGV-1) | 1<<(unix.SIGBUS-1) | 1<<(unix.SIGILL-1) | 1<<(unix.SIGFPE-1) | 1<<(unix.SIGTRAP-1) | 1<<(unix.SIGSYS-1)
)

var hookKinds = map[patchobject.HookKind]uint64{
	patchobject.PreApply: 1, patchobject.PostApply: 2, patchobject.PreRemove: 3, patchobject.PostRemove: 4,
}

// ErrHook says that a hook of a patch refused or failed.
type ErrHook struct {
	PID    int
	Kind   patchobject.HookKind
	Code   int32  // what it returned
	Reason string // "" if it returned
}

// Error names the hook and what it did.
func (e ErrHook) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("process %d: the patch's %s hook refused: it returned %d", e.PID, e.Kind, e.Code)
	}
	return fmt.Sprintf("process %d: the patch's %s hook %s", e.PID, e.Kind, e.Reason)
}

func (l *layout) countHooks() int {
	n := 0
	for _, s := range l.obj.Sections {
		if s.Hooks() != "" {
			n += int(s.Size / 8)
		}
	}
	return n
}

// fillHooks writes the table of a relocated region.
func (l *layout) fillHooks() {
	if l.hooks.size == 0 {
		return
	}
	out := l.image[l.hooks.at:][:l.hooks.size]
	copy(out, l.arch.Return)
	out = out[hookTable:]
	for i, s := range l.obj.Sections {
		if s.Hooks() == "" {
			continue
		}
		for at := uint64(0); at < s.Size; at += 8 {
			binary.LittleEndian.PutUint64(out, hookKinds[s.Hooks()])
			copy(out[8:], l.image[l.sections[i]+at:][:8])
			out = out[hookEntry:]
		}
	}
}

// before runs the hooks that come before the change. Only that of an
// activation can refuse it.
func (w *switcher) before(t *tracer) error {
	leaving := w.retired
	if w.after == Active {
		if err := w.runHooks(t, w.head, patchobject.PreApply); err != nil {
			return err
		}
	} else {
		leaving = w.head
	}
	w.notify(t, leaving, patchobject.PreRemove)
	return nil
}

// notify runs hooks of a patch, nil for none, that cannot refuse.
func (w *switcher) notify(t *tracer, h *header, kind patchobject.HookKind) {
	if h == nil {
		return
	}
	if err := w.runHooks(t, h, kind); err != nil {
		w.opts.Logger.Warn("hook failed", "pid", w.proc.PID, "patch", h.uuid, "error", err)
	}
}

// afterwards runs the hooks that come after the change, which stands.
func (w *switcher) afterwards(t *tracer) {
	if w.after != Active {
		w.notify(t, w.head, patchobject.PostRemove)
		return
	}
	w.notify(t, w.retired, patchobject.PostRemove)
	w.notify(t, w.head, patchobject.PostApply)
}

// runHooks runs all hooks of one kind, in the order of the patch, up to the
// first that fails.
func (w *switcher) runHooks(t *tracer, h *header, kind patchobject.HookKind) error {
	if h.hooks.size < hookTable+hookEntry {
		return nil
	}
	table, err := w.mem.bytes(h.hooks.at+hookTable, int(h.hooks.size-hookTable))
	if err != nil {
		return fmt.Errorf("hooks: %w", err)
	}
	ran := false
	for ; len(table) >= hookEntry; table = table[hookEntry:] {
		if binary.LittleEndian.Uint64(table) != hookKinds[kind] {
			continue
		}
		at := binary.LittleEndian.Uint64(table[8:])
		if !h.code.holds(span{at, 1}) {
			return ErrHook{PID: w.proc.PID, Kind: kind, Reason: "is not in the patch's code"}
		}
		if h.stray {
			return ErrHook{PID: w.proc.PID, Kind: kind, Reason: "cannot run: an earlier one has not come to its end"}
		}
		code, err := w.runHook(t, h, at)
		if err != nil {
			return ErrHook{PID: w.proc.PID, Kind: kind, Reason: err.Error()}
		}
		if code != 0 {
			return ErrHook{PID: w.proc.PID, Kind: kind, Code: code}
		}
		ran = true
	}
	if ran {
		return t.stopAll() // it may have made threads
	}
	return nil
}

// hookThread is a thread that can be borrowed. None may be on the stack of the
// hooks already.
func (w *switcher) hookThread(t *tracer, h *header) (*thread, error) {
	var found *thread
	for i := range t.threads {
		th := &t.threads[i]
		if th.dead || !th.haveRegs {
			continue
		}
		if th.regs.Rsp >= h.stack.at && th.regs.Rsp <= h.stack.end() {
			return nil, errors.New("cannot run: an earlier one has not come to its end")
		}
		if found == nil && !th.suspended && ownStack(w.examiner.maps, th) != nil {
			found = th
		}
	}
	if found == nil {
		return nil, errors.New("cannot run: no thread can be borrowed for it")
	}
	return found, nil
}

// runHook calls the function at an address and returns its result. An error
// says what became of it.
func (w *switcher) runHook(t *tracer, h *header, at uint64) (int32, error) {
	th, err := w.hookThread(t, h)
	if err != nil {
		return 0, err
	}
	mask, err := sigMask(th.tid)
	if err != nil {
		return 0, err
	}
	state, err := xstate(th.tid)
	if err != nil {
		return 0, err
	}
	frame, err := newSigframe(resumed(th.regs, t.cutShort(th)), mask, state, h.stack.end()-redZone)
	if err != nil {
		return 0, err
	}
	// The frame and, below it, the return address.
	top := append(binary.LittleEndian.AppendUint64(nil, h.hooks.at), frame.bytes...)
	if err := w.mem.write(top, frame.uc-8); err != nil {
		return 0, err
	}
	regs := th.regs
	regs.Rip, regs.Rsp, regs.Rbp, regs.Rax, regs.Orig_rax, regs.Eflags = at, frame.uc-8, 0, 0, noSyscall, 0x202
	if err := errors.Join(setSigMask(th.tid, ^uint64(hookSignals)), setRegs(th.tid, &regs)); err != nil {
		return 0, errors.Join(err, w.bringBack(th, mask, state))
	}
	result, err := w.await(t, th, h.hooks.at)
	if th.dead {
		return 0, err
	}
	if !th.stopped {
		h.stray = true
		return 0, err
	}
	return result, errors.Join(err, w.bringBack(th, mask, state))
}

// await lets a hook run until it returns to ret. If it takes too long the thread is left
// running: it finds back by itself.
func (w *switcher) await(t *tracer, th *thread, ret uint64) (int32, error) {
	limit := time.Now().Add(hookTime)
	how, result, returned := unix.PTRACE_SYSCALL, int32(0), false
	for {
		status, err := resume(th, how, limit)
		if err != nil {
			return 0, err
		}
		event, sig := int(status>>16), int(status>>8)&0xff
		switch {
		case event == 0 && sig == sysGoodTrap && !returned:
			var regs unix.PtraceRegs
			if err := getRegs(th.tid, &regs); err != nil {
				return 0, err
			}
			if regs.Rip != ret+uint64(len(isa.AMD64.Return)) || regs.Orig_rax != unix.SYS_RT_SIGRETURN {
				continue // a system call of its own
			}
			// No system call, but the next stop; without us it would return again.
			result, returned, how = int32(regs.Rbx), true, unix.PTRACE_CONT
			regs.Orig_rax, regs.Rip = noSyscall, ret
			if err := setRegs(th.tid, &regs); err != nil {
				return 0, err
			}
			t.interrupt(th)
		case event == eventStop && returned:
			return result, nil
		case event == 0 && sig != sysGoodTrap && hookSignals&(1<<(sig-1)) != 0:
			return 0, fmt.Errorf("failed with signal %d (%s)", sig, unix.SignalName(unix.Signal(sig)))
		case event == 0 && sig != sysGoodTrap:
			th.signal = sig // SIGSTOP: nothing else is let through
		}
	}
}

// resume lets a thread go on until its next stop.
func resume(th *thread, how int, limit time.Time) (unix.WaitStatus, error) {
	th.stopped = false
	if err := ptrace(how, th.tid, 0, uintptr(th.signal)); err != nil {
		th.dead = true
		return 0, errors.New("ended with its process")
	}
	th.signal = 0
	for round := 0; ; round++ {
		got, status, err := poll(th.tid)
		switch {
		case err != nil || got != 0 && !status.Stopped():
			th.dead, th.reaped = true, true
			return 0, errors.New("ended with its process")
		case got != 0:
			th.stopped = true
			return status, nil
		case time.Now().After(limit):
			th.haveRegs = false
			return 0, fmt.Errorf("takes longer than %v; it goes on by itself", hookTime)
		}
		nap(round)
	}
}

// bringBack makes a borrowed thread what it was.
func (w *switcher) bringBack(th *thread, mask uint64, state []byte) error {
	return errors.Join(setXstate(th.tid, state), setSigMask(th.tid, mask), setRegs(th.tid, &th.regs))
}
