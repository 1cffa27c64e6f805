package user

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const eventStop = unix.PTRACE_EVENT_STOP

// stopPatience is how long the other threads may stand still because one does
// not stop (it is in uninterruptible sleep).
const stopPatience = 250 * time.Millisecond

// errUnstopped is a stop given up; the caller tries again later.
type errUnstopped struct{ tid int }

func (e errUnstopped) Error() string { return fmt.Sprintf("thread %d does not stop", e.tid) }

// thread is one thread of the target under our ptrace.
type thread struct {
	tid           int
	asked         bool // PTRACE_INTERRUPT sent
	stopped, dead bool
	reaped        bool // its end was collected, or is somebody else's
	suspended     bool // by job control, SIGSTOP and its like
	held          bool // stopped before the transaction began, and after it
	signal        int  // met while it ran a hook, to be delivered
	haveRegs      bool
	regs          unix.PtraceRegs
	stack         []byte // what is live of it, if it was read ahead
}

// tracer stops and releases the threads of one process. It lives on one OS
// thread.
type tracer struct {
	proc    Process
	tasks   int // /proc/PID/task
	threads []thread
	dirents [8 << 10]byte
	tids    []int
	began   time.Time // of the first interrupt
	// filtered says that system calls of the process are filtered.
	filtered bool
}

// trace runs f with a tracer of the process, on a locked OS thread: a new one
// or, if a thread of the process is held already, the one that holds it, which
// must be the caller's.
func (s *session) trace(f func(t *tracer) (clean bool)) {
	ignoreStops()
	t := &tracer{proc: s.proc, tasks: s.tasks, threads: make([]thread, 0, 128), filtered: s.sandboxed}
	if s.opts.held != 0 {
		t.threads = append(t.threads, thread{tid: s.opts.held, asked: true, stopped: true, held: true})
		f(t)
		return
	}
	onThread(func() bool { return f(t) })
}

// list reads the thread IDs of the process.
func (t *tracer) list() error {
	t.tids = t.tids[:0]
	if _, err := unix.Seek(t.tasks, 0, 0); err != nil {
		return err
	}
	for {
		n, err := unix.Getdents(t.tasks, t.dirents[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("list threads: %w", err)
		}
		if n == 0 {
			return nil
		}
		for b := t.dirents[:n]; len(b) > 0; {
			d := (*unix.Dirent)(unsafe.Pointer(&b[0]))
			tid := 0
			for _, c := range d.Name {
				if c < '0' || c > '9' {
					break
				}
				tid = tid*10 + int(c-'0')
			}
			if tid > 0 {
				t.tids = append(t.tids, tid)
			}
			b = b[d.Reclen:]
		}
	}
}

func (t *tracer) knows(tid int) bool {
	for i := range t.threads {
		// IDs are given out in a circle; none comes back within one stop.
		if t.threads[i].tid == tid {
			return true
		}
	}
	return false
}

// seizeNew seizes the threads not known yet and says whether there were any.
func (t *tracer) seizeNew() (bool, error) {
	if err := t.list(); err != nil {
		return false, err
	}
	added := false
	for _, tid := range t.tids {
		if t.knows(tid) {
			continue
		}
		err := t.attach(tid)
		if err != nil {
			return false, err
		}
		added = true
	}
	return added, nil
}

// attach seizes one thread; a thread that has ended is recorded as dead.
func (t *tracer) attach(tid int) error {
	th := thread{tid: tid}
	switch err := seize(tid); {
	case err == nil:
	case errors.Is(err, unix.ESRCH):
		th.dead = true
	case errors.Is(err, unix.EPERM):
		s, statErr := readStat(t.proc.path(fmt.Sprintf("task/%d/stat", tid)))
		if statErr == nil && s.state != 'Z' && s.state != 'X' {
			return t.whoTraces(tid, err)
		}
		th.dead = true
	default:
		return fmt.Errorf("attach to thread %d: %w", tid, err)
	}
	t.threads = append(t.threads, th)
	return nil
}

func (t *tracer) whoTraces(tid int, cause error) error {
	status, err := os.ReadFile(t.proc.path(fmt.Sprintf("task/%d/status", tid)))
	if err != nil {
		return err
	}
	tracer := int(statusField(status, "TracerPid", 10))
	if tracer == 0 {
		return fmt.Errorf("attach to thread %d: %w", tid, cause)
	}
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", tracer))
	return ErrTraced{PID: t.proc.PID, Tracer: tracer, Comm: string(bytes.TrimSpace(comm))}
}

// interrupt asks a thread to stop without any effect that it could see.
func (t *tracer) interrupt(th *thread) {
	th.asked = true
	if err := ptrace(unix.PTRACE_INTERRUPT, th.tid, 0, 0); errors.Is(err, unix.ESRCH) {
		th.dead = true
	}
}

// manyThreads are so many that keeping the processor while they are asked to
// stop gains more than it costs.
const manyThreads = 16

func (t *tracer) interruptAll() {
	ask := func() bool {
		for i := range t.threads {
			if th := &t.threads[i]; !th.asked && !th.dead {
				t.interrupt(th)
			}
		}
		return true
	}
	if len(t.threads) < manyThreads {
		ask()
		return
	}
	undisturbed(ask)
}

// stopAll stops every thread of the process, whatever threads are born
// meanwhile.
func (t *tracer) stopAll() error {
	if _, err := t.seizeNew(); err != nil {
		return err
	}
	now := time.Now()
	if t.began.IsZero() {
		t.began = now
	}
	limit := now.Add(stopPatience)
	for {
		t.interruptAll()
		for round := 0; ; round++ {
			waiting := t.collect()
			if waiting == 0 {
				break
			}
			if time.Now().After(limit) {
				return errUnstopped{tid: waiting}
			}
			nap(round)
		}
		added, err := t.seizeNew()
		if err != nil || !added {
			return err
		}
	}
}

// collect takes what stops there are and returns a thread that still runs, or
// 0.
func (t *tracer) collect() (waiting int) {
	for i := range t.threads {
		th := &t.threads[i]
		if th.stopped || th.dead {
			continue
		}
		got, status, err := poll(th.tid)
		switch {
		case err != nil:
			th.dead, th.reaped = true, true // ended, or taken over by an exec
		case got == 0:
			waiting = th.tid
		case !status.Stopped():
			th.dead, th.reaped = true, true
		case int(status>>16) == eventStop:
			th.stopped = true
			th.suspended = status.StopSignal() != unix.SIGTRAP
			// While the others are still on their way, this costs no time.
			th.haveRegs = getRegs(th.tid, &th.regs) == nil
		default:
			t.pass(th, status)
			waiting = th.tid
		}
	}
	return waiting
}

// pass lets a thread that stopped for something else go on to our stop. A
// signal is delivered now, as it would have been without us; the trap that we
// asked for was used up by this stop, so it is asked for again.
func (t *tracer) pass(th *thread, status unix.WaitStatus) {
	t.interrupt(th)
	signal := uintptr(0)
	if int(status>>16) == 0 {
		signal = uintptr(status.StopSignal())
	}
	if errors.Is(ptrace(unix.PTRACE_CONT, th.tid, 0, signal), unix.ESRCH) {
		th.dead = true
	}
}

// loadRegs reads the registers of every stopped thread.
func (t *tracer) loadRegs() error {
	for i := range t.threads {
		th := &t.threads[i]
		if !th.stopped || th.dead || th.haveRegs {
			continue
		}
		switch err := getRegs(th.tid, &th.regs); {
		case err == nil:
			th.haveRegs = true
		case errors.Is(err, unix.ESRCH):
			th.dead = true
		default:
			return fmt.Errorf("registers of thread %d: %w", th.tid, err)
		}
	}
	return nil
}

// reap collects the end of a thread that died under our trace: until then its
// process cannot end. False if that has to be left to the end of our OS thread.
func (th *thread) reap() bool {
	for round := 0; round < 100 && !th.reaped; round++ {
		got, status, err := poll(th.tid)
		th.reaped = err != nil || got != 0 && !status.Stopped()
		if !th.reaped {
			nap(round)
		}
	}
	return th.reaped
}

// release lets every thread go as if it had never stopped. False means that
// some thread was seized and did not stop: the OS thread has to end.
func (t *tracer) release() (clean bool) {
	clean = true
	_ = t.loadRegs()
	for i := range t.threads {
		th := &t.threads[i]
		if th.held && !th.dead {
			continue
		}
		if th.dead {
			clean = th.reap() && clean
			continue
		}
		if !th.stopped {
			clean = false
			continue
		}
		if th.haveRegs {
			t.rewind(th)
		}
		// The kernel puts a thread of a stopped process back into its stop.
		if ptrace(unix.PTRACE_DETACH, th.tid, 0, uintptr(th.signal)) != nil {
			clean = th.reap() && clean
		}
	}
	t.threads = t.threads[:0]
	return clean
}

// count is the number of threads held.
func (t *tracer) count() int {
	n := 0
	for i := range t.threads {
		if t.threads[i].stopped && !t.threads[i].dead {
			n++
		}
	}
	return n
}
