package user

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// stub stands at the program's entry point, where no code runs any more, while
// a thread is borrowed:
//
//	mov $15, %eax; syscall     rt_sigreturn, which the tracer turns into
//	                           another call at its entry
//	mov %rax, %rbx             where a called function returns to
//	mov $15, %eax; syscall     rt_sigreturn
//	int3
//
// Wherever the tracer dies, what follows is an rt_sigreturn to where the
// thread was.
var stub = []byte{
	0xb8, 15, 0, 0, 0, 0x0f, 0x05,
	0x48, 0x89, 0xc3, 0xb8, 15, 0, 0, 0, 0x0f, 0x05,
	0xcc,
}

const (
	stubSyscall = 7  // behind the first system call
	stubReturn  = 7  // where functions return to
	stubEnd     = 17 // behind the second system call
)

const (
	noSyscall   = ^uint64(0)
	sysGoodTrap = int(unix.SIGTRAP) | 0x80
	youngAge    = 2 * time.Second
)

// errStarting says that an exec is under way.
var errStarting = errors.New("the program is being started")

// errUnfit says that a thread cannot be borrowed at the moment.
var errUnfit = errors.New("no thread can be borrowed now")

// entryPoint is where the stub goes.
type entryPoint struct {
	at       uint64
	original []byte
}

// readEntry finds the entry point of the program in memory and its bytes in
// the file.
func readEntry(p Process) (entryPoint, error) {
	auxv, err := os.ReadFile(p.path("auxv"))
	if err != nil {
		return entryPoint{}, err
	}
	const atEntry = 9
	e := entryPoint{original: make([]byte, len(stub))}
	for ; len(auxv) >= 16; auxv = auxv[16:] {
		if binary.LittleEndian.Uint64(auxv) == atEntry {
			e.at = binary.LittleEndian.Uint64(auxv[8:])
		}
	}
	if e.at == 0 {
		return entryPoint{}, errStarting
	}
	f, err := os.Open(p.path("exe"))
	if err != nil {
		return entryPoint{}, err
	}
	defer f.Close()
	entry, segments, err := readHeaders(f, 0)
	if err != nil {
		return entryPoint{}, fmt.Errorf("program file: %w", err)
	}
	for _, s := range segments {
		if s.Type == 1 && entry >= s.Vaddr && entry-s.Vaddr < s.Filesz && s.Filesz-(entry-s.Vaddr) >= uint64(len(stub)) {
			if _, err = f.ReadAt(e.original, int64(s.Off+entry-s.Vaddr)); err == nil {
				return e, nil
			}
		}
	}
	return entryPoint{}, errors.Join(errors.New("the program's entry point is not understood"), err)
}

// cave is another place for the stub, where no code runs: what is left of the
// page in which the program's code ends. errUnfit if that is too little.
func (s *session) cave() (entryPoint, error) {
	if _, err := s.maps.read(); err != nil {
		return entryPoint{}, err
	}
	for _, img := range s.maps.imagesIn(s.mem) {
		if s.entry.at < img.lo || s.entry.at >= img.hi {
			continue
		}
		for _, segment := range img.segments {
			end := img.bias + segment.Vaddr + segment.Filesz
			if elf.ProgType(segment.Type) != elf.PT_LOAD || elf.ProgFlag(segment.Flags)&elf.PF_X == 0 || segment.Filesz != segment.Memsz ||
				align(end, 16)+uint64(len(stub)) > align(end, pageSize) {
				continue
			}
			e := entryPoint{at: align(end, 16)}
			var err error
			e.original, err = s.mem.bytes(e.at, len(stub))
			return e, err
		}
	}
	return entryPoint{}, errUnfit
}

// stubbed reports whether our stub stands at the entry point; bytes that are
// neither the stub nor the program's own are an error.
func (e entryPoint) stubbed(mem memory) (bool, error) {
	now, err := mem.bytes(e.at, len(stub))
	if err != nil {
		return false, err
	}
	if bytes.Equal(now, e.original) {
		return false, nil
	}
	for i := range now { // a torn write leaves some of either
		if now[i] != stub[i] && now[i] != e.original[i] {
			return false, fmt.Errorf("the program's entry point at %#x was changed by someone else", e.at)
		}
	}
	return true, nil
}

// remote is one borrowed thread.
type remote struct {
	*session
	tracer *tracer
	th     *thread
	mask   uint64
	frame  sigframe
	below  []byte // what the frame overwrites
	room   uint64 // bytes of stack below the frame
	state  []byte // extended state
	used   bool   // a function may have changed the extended state
	at     unix.PtraceRegs
}

// borrow stops one thread, runs f, and lets the thread go on as it was. The
// stop is brief: f does nothing but system calls in the process.
func (s *session) borrow(f func(r *remote) error) error {
	if stubbed, err := s.entry.stubbed(s.mem); err != nil {
		return err
	} else if stubbed { // a thread borrowed before did not come back in time
		if err := s.restoreEntry(); err != nil {
			return err
		}
	}
	defer s.maps.changed()
	var err error
	s.trace(func(t *tracer) bool {
		if len(t.threads) > 0 {
			r := &remote{session: s, tracer: t, th: &t.threads[0]}
			err = r.run(f)
			return t.release()
		}
		if err = t.list(); err != nil {
			return true
		}
		err = errUnfit
		clean := true
		for _, tid := range t.tids[:min(len(t.tids), 16)] {
			if err = t.attach(tid); err != nil {
				break
			}
			th := &t.threads[0]
			if !th.dead {
				err = t.stopOne(th)
			}
			if err == nil && !th.dead {
				r := &remote{session: s, tracer: t, th: th}
				err = r.run(f)
			} else if err == nil {
				err = errUnfit
			}
			clean = t.release() && clean
			if !errors.Is(err, errUnfit) {
				break
			}
		}
		return clean
	})
	return err
}

func errUnfitIf(b bool) error {
	if b {
		return errUnfit
	}
	return nil
}

// started says errUnfit for a program that may still be on its way to its
// entry point: the return address that _start leaves just below the initial
// stack pointer is not there, and the process is young.
func (s *session) started() error {
	st, err := readStat(s.proc.path("stat"))
	if err != nil {
		return err
	}
	const window = 64
	below, err := s.mem.bytes(st.startStack-window, window)
	if err != nil {
		return nil // set-up by prctl: nothing that starts now
	}
	for i := 0; i < window; i += 8 {
		if w := binary.LittleEndian.Uint64(below[i:]); w > s.entry.at && w < s.entry.at+128 {
			return nil
		}
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return err
	}
	const clockTicks = 100 // USER_HZ is the same everywhere on this ABI
	if age := time.Duration(now.Nano()) - time.Duration(s.proc.StartTime)*time.Second/clockTicks; age < youngAge {
		return errUnfit
	}
	return nil
}

func (t *tracer) stopOne(th *thread) error {
	began := time.Now()
	t.interrupt(th)
	for round := 0; ; round++ {
		if t.collect() == 0 {
			return nil
		}
		if time.Since(began) > stopPatience {
			return errUnstopped{tid: th.tid}
		}
		nap(round)
	}
}

func (r *remote) run(f func(*remote) error) error {
	if err := r.enter(); err != nil {
		return err
	}
	err := f(r)
	return errors.Join(err, r.leave())
}

// enter puts the frame and the stub in place and the thread before the stub.
// Each step leaves a thread that comes back by itself if we die after it.
func (r *remote) enter() error {
	tid := r.th.tid
	if err := r.tracer.loadRegs(); err != nil || r.th.dead {
		return errors.Join(err, errUnfitIf(r.th.dead))
	}
	var err error
	if r.mask, err = sigMask(tid); err != nil {
		return fmt.Errorf("signal mask of thread %d: %w", tid, err)
	}
	if r.state, err = xstate(tid); err != nil {
		return fmt.Errorf("extended state of thread %d: %w", tid, err)
	}
	regs := resumed(r.th.regs, r.tracer.cutShort(r.th))
	if r.frame, err = newSigframe(regs, r.mask, r.state, regs.Rsp-redZone); err != nil {
		return err
	}
	maps, err := r.maps.read()
	if err != nil {
		return err
	}
	m := ownStack(maps, r.th)
	if m == nil || r.frame.uc < m.start+64 || r.frame.uc > regs.Rsp ||
		regs.Rip+16 > r.entry.at && regs.Rip < r.entry.at+uint64(len(stub)) {
		return errUnfit
	}
	r.room = r.frame.uc - m.start
	if string(m.name) == "[stack]" {
		r.room = maxStack // it grows
	}
	if r.below, err = r.mem.bytes(r.frame.uc, len(r.frame.bytes)); err != nil {
		return err
	}
	if err := r.mem.write(r.frame.bytes, r.frame.uc); err != nil {
		return err
	}
	if err := r.mem.write(stub, r.entry.at); err != nil {
		return errors.Join(err, r.mem.write(r.below, r.frame.uc))
	}
	r.at = r.th.regs
	r.at.Rip, r.at.Rsp, r.at.Orig_rax, r.at.Rax = r.entry.at, r.frame.uc, noSyscall, 0
	r.at.Eflags &^= 1 << 8 // no single step inherited from anyone
	if err := setRegs(tid, &r.at); err != nil {
		return errors.Join(err, r.leave())
	}
	// No handler may run, and perhaps never return, on top of the stub.
	if err := setSigMask(tid, ^uint64(0)); err != nil {
		return errors.Join(err, r.leave())
	}
	return nil
}

// leave undoes enter. The thread is in a stop on the way to user mode, so the
// kernel itself restarts the system call that the registers speak of.
func (r *remote) leave() error {
	tid := r.th.tid
	if !r.th.stopped {
		// It still needs the stub to come back; Repair takes that away later.
		return errUnstopped{tid: tid}
	}
	err := setSigMask(tid, r.mask)
	if r.used {
		err = errors.Join(err, setXstate(tid, r.state))
	}
	err = errors.Join(err, setRegs(tid, &r.th.regs))
	err = errors.Join(err, r.mem.write(r.entry.original, r.entry.at))
	return errors.Join(err, r.mem.write(r.below, r.frame.uc))
}

// call makes the thread do one system call.
func (r *remote) call(nr uint64, args ...uint64) (uint64, error) {
	tid := r.th.tid
	if err := r.advance(unix.PTRACE_SYSCALL, true); err != nil {
		return 0, err
	}
	regs := r.at
	regs.Orig_rax, regs.Rip = nr, r.entry.at+stubSyscall
	regs.Rax = ^uint64(unix.ENOSYS) + 1
	for i, to := range []*uint64{&regs.Rdi, &regs.Rsi, &regs.Rdx, &regs.R10, &regs.R8, &regs.R9} {
		if i < len(args) {
			*to = args[i]
		}
	}
	if err := setRegs(tid, &regs); err != nil {
		return 0, fmt.Errorf("thread %d: %w", tid, err)
	}
	if err := r.advance(unix.PTRACE_SYSCALL, true); err != nil {
		return 0, err
	}
	if err := getRegs(tid, &regs); err != nil {
		return 0, fmt.Errorf("thread %d: %w", tid, err)
	}
	result := regs.Rax
	if err := r.again(); err != nil {
		return 0, err
	}
	if result > ^uint64(4095) {
		return 0, unix.Errno(-int64(result))
	}
	return result, nil
}

// again puts the thread before the stub once more.
func (r *remote) again() error {
	r.tracer.interrupt(r.th)
	if err := r.advance(unix.PTRACE_CONT, false); err != nil {
		return err
	}
	if err := setRegs(r.th.tid, &r.at); err != nil {
		return fmt.Errorf("thread %d: %w", r.th.tid, err)
	}
	return nil
}

// invoke makes the thread call a function without arguments and gives its
// result. It is for functions that choose an implementation: they read what the
// processor can do, and neither wait nor change anything.
func (r *remote) invoke(at uint64) (uint64, error) {
	const leastStack = 16 << 10
	tid := r.th.tid
	if r.room < leastStack {
		return 0, errUnfit
	}
	r.used = true
	// A fault is seen here, instead of being forced on the process.
	if err := setSigMask(tid, ^uint64(hookSignals)); err != nil {
		return 0, err
	}
	regs := r.at
	regs.Rip, regs.Rsp, regs.Rbp, regs.Eflags = at, r.frame.uc-8, 0, 0x202
	if err := r.mem.write(binary.LittleEndian.AppendUint64(nil, r.entry.at+stubReturn), regs.Rsp); err != nil {
		return 0, err
	}
	if err := setRegs(tid, &regs); err != nil {
		return 0, fmt.Errorf("thread %d: %w", tid, err)
	}
	for {
		if err := r.advance(unix.PTRACE_SYSCALL, true); err != nil {
			return 0, err
		}
		if err := getRegs(tid, &regs); err != nil {
			return 0, fmt.Errorf("thread %d: %w", tid, err)
		}
		if regs.Rip == r.entry.at+stubEnd && regs.Orig_rax == unix.SYS_RT_SIGRETURN {
			break
		}
	}
	result := regs.Rbx
	// No system call, but the next stop; without us it would return again.
	regs.Orig_rax, regs.Rip = noSyscall, r.entry.at+stubReturn
	if err := setRegs(tid, &regs); err != nil {
		return 0, fmt.Errorf("thread %d: %w", tid, err)
	}
	return result, errors.Join(r.again(), setSigMask(tid, ^uint64(0)))
}

// advance resumes the thread until its next system-call stop, or else its next
// event stop. Only SIGKILL and SIGSTOP can come between, and are passed on.
func (r *remote) advance(how int, toSyscall bool) error {
	tid := r.th.tid
	signal := uintptr(0)
	began := time.Now()
	for {
		if err := ptrace(how, tid, 0, signal); err != nil {
			return fmt.Errorf("thread %d: %w", tid, err)
		}
		signal = 0
		var status unix.WaitStatus
		for round := 0; ; round++ {
			got, st, err := poll(tid)
			if err != nil || got != 0 && !st.Stopped() {
				r.th.dead, r.th.reaped = true, true
				return fmt.Errorf("thread %d ended", tid)
			}
			if got != 0 {
				status = st
				break
			}
			if time.Since(began) > stopPatience {
				r.th.stopped = false
				return errUnstopped{tid: tid}
			}
			nap(round)
		}
		event, sig := int(status>>16), int(status>>8)&0xff
		switch {
		case event == 0 && sig == sysGoodTrap:
			if toSyscall {
				return nil
			}
		case event == eventStop:
			if !toSyscall {
				return nil
			}
		case event == 0:
			if sig == int(unix.SIGSEGV) || sig == int(unix.SIGBUS) || sig == int(unix.SIGILL) || sig == int(unix.SIGTRAP) {
				return fmt.Errorf("thread %d: borrowed code raised signal %d", tid, sig)
			}
			signal = uintptr(sig)
			if !toSyscall {
				r.tracer.interrupt(r.th)
			}
		}
	}
}

// mapAt maps anonymous private memory exactly at address at.
func (r *remote) mapAt(at, size uint64, prot uint64) error {
	const flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_FIXED_NOREPLACE
	got, err := r.call(unix.SYS_MMAP, at, size, prot, flags, noSyscall, 0)
	if err != nil {
		return err
	}
	if got != at { // a kernel before 4.17 takes the address as a hint
		return errors.Join(unix.EEXIST, r.unmap(got, size))
	}
	return nil
}

func (r *remote) unmap(at, size uint64) error {
	_, err := r.call(unix.SYS_MUNMAP, at, size)
	return err
}
