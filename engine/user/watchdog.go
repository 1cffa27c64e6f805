package user

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The watchdog is a second process of the same program. It is told when a
// program begins to be held ("+" and a number, in a line on its standard input)
// and when it is let go ("-" and the number). If that takes too long it kills
// its parent: then the kernel lets everything go that the parent holds.
const (
	watchdogName   = "syscare-watchdog"
	watchdogMarker = "SYSCARE_WATCHDOG"
)

type watchdog struct {
	patience time.Duration
	last     atomic.Uint64
	mu       sync.Mutex
	input    *os.File // nil while a new one is started
	cmd      *exec.Cmd
}

func startWatchdog(patience time.Duration) (*watchdog, error) {
	if !guardAllowed.Load() {
		return nil, ErrNoGuard
	}
	d := &watchdog{patience: patience}
	return d, d.start()
}

func (d *watchdog) start() error {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{watchdogName}
	cmd.Env = []string{fmt.Sprintf("%s=%d", watchdogMarker, d.patience.Milliseconds())}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	theirs, input, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdin = theirs
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		_ = input.Close()
		return fmt.Errorf("start the watchdog: %w", err)
	}
	d.mu.Lock()
	d.input, d.cmd = input, cmd
	d.mu.Unlock()
	return nil
}

// begin says that something is held; the function that it returns, that it is
// not any more. It reports whether anybody listens: else nothing may be held.
// A watchdog that was killed is replaced.
func (d *watchdog) begin() (end func(), listens bool) {
	n := d.last.Add(1)
	if !d.tell('+', n) {
		return func() {}, false
	}
	return func() { d.tell('-', n) }, true
}

func (d *watchdog) tell(what byte, n uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.input == nil {
		return false
	}
	_, err := d.input.Write(append(strconv.AppendUint([]byte{what}, n, 10), '\n'))
	if err == nil {
		return true
	}
	_ = d.input.Close()
	cmd := d.cmd
	d.input = nil
	go func() {
		_ = cmd.Wait()
		_ = d.start() // if it cannot be had, nothing is held any more
	}()
	return false
}

func (d *watchdog) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.input != nil {
		_ = d.input.Close()
		_ = d.cmd.Wait()
	}
}

// runWatchdogIfAsked is for RunGuardIfAsked.
func runWatchdogIfAsked() {
	patience, err := strconv.Atoi(os.Getenv(watchdogMarker))
	if os.Args[0] != watchdogName || err != nil {
		return
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGTSTP)
	parent := os.Getppid()
	watchHolds(os.Stdin, time.Duration(patience)*time.Millisecond, func() {
		if os.Getppid() == parent { // else it has died already
			_ = syscall.Kill(parent, syscall.SIGKILL)
		}
	})
	os.Exit(0)
}

// watchHolds reads what is held until the end of input, and calls overdue once
// if something is held too long.
func watchHolds(input io.Reader, patience time.Duration, overdue func()) {
	lines := make(chan string)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(input)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
	}()
	held := map[string]time.Time{}
	ticks := time.NewTicker(patience / 20)
	defer ticks.Stop()
	for {
		select {
		case line, more := <-lines:
			switch {
			case !more:
				return
			case len(line) > 1 && line[0] == '+':
				held[line[1:]] = time.Now()
			case len(line) > 1 && line[0] == '-':
				delete(held, line[1:])
			}
		case <-ticks.C:
			for _, since := range held {
				if time.Since(since) > patience {
					overdue()
					return
				}
			}
		}
	}
}
