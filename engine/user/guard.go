package user

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The guard is a second process of the same program that does nothing until
// this one dies. It is told of each transaction by a line of JSON on its
// standard input, before the transaction changes anything, and when it is
// over; the end of its input without that is our death.
const (
	guardName   = "syscare-guard"
	guardMarker = "SYSCARE_GUARD=1"
)

// record is one line for the guard.
type record struct {
	Ticket    uint64      `json:"ticket"`
	Done      bool        `json:"done,omitempty"`
	PID       int         `json:"pid,omitempty"`
	StartTime uint64      `json:"start_time,omitempty"`
	Regions   [][2]uint64 `json:"regions,omitempty"` // address and bytes
}

var guardAllowed atomic.Bool

// RunGuardIfAsked makes this process the guard if it was started as one, and
// does not return then. A program that uses this package calls it before
// anything else.
func RunGuardIfAsked() {
	if os.Args[0] == guardName && os.Getenv("SYSCARE_GUARD") == "1" {
		// Whoever waits for this goes on when we stand by and need no more
		// processor time, which the stop of a process wants for itself.
		_, _ = os.Stdout.Write([]byte{'\n'})
		runGuard(os.Stdin)
		os.Exit(0)
	}
	runWatchdogIfAsked()
	guardAllowed.Store(true)
}

// runGuard waits for the end of input and repairs what is open then.
func runGuard(input io.Reader) {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGTSTP)
	guardAllowed.Store(true) // repairing is a transaction, with a guard of its own
	open := map[uint64]record{}
	lines := bufio.NewScanner(input)
	for lines.Scan() {
		var r record
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue // cut short by our client's death: it had not begun
		}
		if r.Done {
			delete(open, r.Ticket)
		} else {
			open[r.Ticket] = r
		}
	}
	var wait sync.WaitGroup
	for _, r := range open {
		wait.Go(func() { r.repair() })
	}
	wait.Wait()
}

// repair does its best until the process is right or gone.
func (r record) repair() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p := Process{PID: r.PID, StartTime: r.StartTime}
	var planned []span
	for _, s := range r.Regions {
		planned = append(planned, span{s[0], s[1]})
	}
	for ctx.Err() == nil {
		s, err := openSession(ctx, p, Options{Timeout: 10 * time.Second})
		if err == nil {
			err = s.repair(ctx, planned)
			err = s.explain(err)
			s.close()
		}
		var gone ErrGone
		if err == nil || errors.As(p.explain(err), &gone) {
			return
		}
		_ = sleep(ctx, 20*time.Millisecond)
	}
}

// guardClient is our end of the guard's input.
type guardClient struct {
	mu    sync.Mutex
	input io.WriteCloser
}

var (
	guard   guardClient
	tickets atomic.Uint64
)

// warmUpGuard starts the guard beside the preparation of a transaction.
func warmUpGuard() {
	if guardAllowed.Load() {
		go func() { _ = guard.send(nil) }()
	}
}

func (g *guardClient) send(line []byte) error {
	if !guardAllowed.Load() {
		return ErrNoGuard
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var err error
	for range 3 { // somebody may have killed it
		if g.input == nil {
			if g.input, err = startGuard(); err != nil {
				return fmt.Errorf("start the guard process: %w", err)
			}
		}
		if len(line) == 0 {
			return nil
		}
		if _, err = g.input.Write(line); err == nil {
			return nil
		}
		g.input.Close()
		g.input = nil
	}
	return fmt.Errorf("tell the guard process: %w", err)
}

func startGuard() (io.WriteCloser, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{guardName}
	cmd.Env = []string{guardMarker, "GOMAXPROCS=2"}
	cmd.Dir = "/"
	// What kills our process group spares the guard. A session of its own would
	// have its own share of the processor, autogroup in sched(7), and wait for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	ready, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_, err = io.ReadFull(ready, make([]byte, 1))
	go func() { _ = cmd.Wait() }() // reaps it should it end before us
	if err != nil {
		return nil, errors.Join(fmt.Errorf("it does not stand by: %w", err), input.Close())
	}
	return input, nil
}

// ticket is one transaction as the guard knows it.
type ticket struct{ record }

func newTicket(p Process) *ticket {
	return &ticket{record{Ticket: tickets.Add(1), PID: p.PID, StartTime: p.StartTime}}
}

func (t *ticket) begin(regions []span) error {
	for _, r := range regions {
		if r.size > 0 {
			t.Regions = append(t.Regions, [2]uint64{r.at, r.size})
		}
	}
	return t.send()
}

func (t *ticket) send() error {
	line, err := json.Marshal(t.record)
	if err != nil {
		return err
	}
	return guard.send(append(line, '\n'))
}

// end closes the ticket. If the guard is gone there is nothing to close.
func (t *ticket) end() {
	if t == nil {
		return
	}
	t.record = record{Ticket: t.Ticket, Done: true}
	_ = t.send()
}
