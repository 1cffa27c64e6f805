package user

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// DefaultTimeout is how long a busy process is tried.
const DefaultTimeout = 5 * time.Second

// maxBackoff is short enough to meet a moment of rest in a function that is in
// use nearly always; runShare keeps the process running most of the time.
const (
	maxBackoff = 20 * time.Millisecond
	runShare   = 3 // times as long as it was just stopped
)

// Options say how hard to try.
type Options struct {
	Timeout time.Duration // DefaultTimeout if 0
	// Force changes functions although threads will return into them. No
	// thread's program counter or return address is ever overwritten.
	Force  bool
	Logger *slog.Logger // nil for none

	held int // thread that the calling OS thread holds already, see Watch
}

// Report says what a transaction cost. The durations after Prepare are those
// of the stop that succeeded.
type Report struct {
	Attempts  int           // stops of all threads
	Threads   int           // held in the last stop
	Prepare   time.Duration // before the first stop, while the process runs
	Interrupt time.Duration // until all threads stood
	Check     time.Duration
	Write     time.Duration
	Resume    time.Duration
	Pause     time.Duration // from the first interrupt until the last release
}

// session is one transaction on one process.
type session struct {
	proc       Process
	opts       Options
	began      time.Time
	deadline   time.Time
	lock       *os.File
	mem        memory
	maps       *mapsReader
	tasks      int
	entry      entryPoint
	startStack uint64
	sandboxed  bool // its system calls are filtered
	ticket     *ticket
	report     Report
}

// within runs f in a transaction on p, after repairing what an earlier one
// left unfinished.
func within(ctx context.Context, p Process, opts Options, f func(*session) error) (Report, error) {
	s, err := openSession(ctx, p, opts)
	if err != nil {
		if gone(err) { // an exiting process loses its files before its state
			err = ErrGone{PID: p.PID}
		}
		return Report{}, p.explain(err)
	}
	defer s.close()
	if err = s.repair(ctx, nil); err == nil {
		err = f(s)
	}
	if err != nil {
		err = s.explain(err)
	}
	return s.report, err
}

func openSession(ctx context.Context, p Process, opts Options) (s *session, err error) {
	if opts.Timeout <= 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	warmUpGuard()
	s = &session{proc: p, opts: opts, began: time.Now(), mem: memory{fd: -1}, maps: &mapsReader{fd: -1}, tasks: -1}
	s.deadline = s.began.Add(opts.Timeout)
	half := s
	defer func() {
		if err != nil {
			half.close()
		}
	}()
	if s.mem.fd, err = unix.Open(p.path("mem"), unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open memory of process %d: %w", p.PID, err)
	}
	if s.maps.fd, err = unix.Open(p.path("maps"), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open memory map of process %d: %w", p.PID, err)
	}
	if s.tasks, err = unix.Open(p.path("task"), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_DIRECTORY, 0); err != nil {
		return nil, fmt.Errorf("open threads of process %d: %w", p.PID, err)
	}
	for s.entry, err = readEntry(p); errors.Is(err, errStarting) && time.Now().Before(s.deadline); s.entry, err = readEntry(p) {
		if err := sleep(ctx, time.Millisecond); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	if err := s.awaitStart(ctx); err != nil {
		return nil, err
	}
	if s.lock, err = lockProcess(ctx, p, s.deadline); err != nil {
		return nil, err
	}
	if opts.held != 0 {
		if s.entry, err = s.cave(); err != nil { // the program has not begun at its entry
			return nil, err
		}
	}
	st, err := readStat(p.path("stat"))
	if err != nil {
		return nil, err
	}
	// What is open now belongs to whom this start time belongs to.
	if st.startTime != p.StartTime {
		return nil, ErrGone{PID: p.PID}
	}
	s.startStack = st.startStack
	s.sandboxed = s.filtered()
	return s, nil
}

// awaitStart waits for a program that is on its way to its entry point. That is
// before the lock: whoever holds the program there patches it meanwhile.
func (s *session) awaitStart(ctx context.Context) error {
	for s.opts.held == 0 {
		err := s.started()
		if !errors.Is(err, errUnfit) {
			return err
		}
		if time.Now().After(s.deadline) {
			return s.timedOut(err)
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) close() {
	s.ticket.end()
	s.mem.close()
	s.maps.close()
	memory{fd: s.tasks}.close()
	if s.lock != nil {
		s.lock.Close()
	}
}

// explain turns an error about a process that ended, or runs another program
// since, into ErrGone.
func (s *session) explain(err error) error {
	if err != nil {
		// A process on its way out has lost its memory first, and shows an
		// empty map until it is gone.
		if _, memErr := s.mem.word(s.entry.at); memErr != nil {
			return ErrGone{PID: s.proc.PID}
		}
	}
	if errors.Is(err, unix.ESRCH) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrShortWrite) || errors.Is(err, unix.EIO) {
		// A process under SIGKILL is not gone at once.
		for range 50 {
			if _, memErr := s.mem.word(s.entry.at); memErr != nil || !s.proc.alive() {
				return ErrGone{PID: s.proc.PID}
			}
			time.Sleep(time.Millisecond)
		}
	}
	return s.proc.explain(err)
}

// transient reports whether a later attempt may do better.
func transient(err error) bool {
	var busy ErrBusy
	var unstopped errUnstopped
	return errors.As(err, &busy) || errors.As(err, &unstopped) || errors.Is(err, errUnfit)
}

// retry repeats f until it succeeds, fails for good, or time is up. Between
// attempts the process runs.
func (s *session) retry(ctx context.Context, f func() error) error {
	for delay := time.Millisecond; ; delay = min(2*delay, maxBackoff) {
		began := time.Now()
		err := f()
		if err == nil || !transient(err) {
			return err
		}
		// A process that has ended may look busy to the very end.
		if !s.proc.alive() {
			return ErrGone{PID: s.proc.PID}
		}
		pause := max(delay/2+rand.N(delay), runShare*time.Since(began))
		if time.Now().Add(pause).After(s.deadline) {
			return s.timedOut(err)
		}
		s.opts.Logger.Debug("process is busy", "pid", s.proc.PID, "reason", err, "retry", pause)
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func (s *session) timedOut(err error) error {
	var unstopped errUnstopped
	switch {
	case errors.As(err, &unstopped):
		return ErrTimeout{PID: s.proc.PID, TID: unstopped.tid, Waiting: "it to stop", After: time.Since(s.began)}
	case errors.Is(err, errUnfit):
		return ErrTimeout{PID: s.proc.PID, Waiting: "a thread that can be borrowed", After: time.Since(s.began)}
	}
	return err
}

// watched makes sure that the guard knows of the transaction before it changes
// anything.
func (s *session) watched(regions ...span) error {
	if s.ticket == nil {
		s.ticket = newTicket(s.proc)
	}
	return s.ticket.begin(regions)
}

// regions returns the map and the regions in the process.
func (s *session) regions() ([]mapping, []*header, error) {
	maps, err := s.maps.known()
	if err != nil {
		return nil, nil, err
	}
	return maps, regionsIn(s.mem, maps), nil
}

// region finds the region of the patch.
func (s *session) region(id string) (*header, error) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return nil, fmt.Errorf("UUID %q: %w", id, err)
	}
	_, all, err := s.regions()
	if err != nil {
		return nil, err
	}
	h := pick(all, parsed)
	if h == nil || h.state == Removed {
		return nil, fmt.Errorf("process %d, patch %s: %w", s.proc.PID, id, ErrNotApplied)
	}
	return h, nil
}
