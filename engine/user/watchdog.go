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
	mu    sync.Mutex
	input io.WriteCloser
	cmd   *exec.Cmd
	last  atomic.Uint64
}

func startWatchdog(patience time.Duration) (*watchdog, error) {
	if !guardAllowed.Load() {
		return nil, ErrNoGuard
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{watchdogName}
	cmd.Env = []string{fmt.Sprintf("%s=%d", watchdogMarker, patience.Milliseconds())}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	return &watchdog{input: input, cmd: cmd}, nil
}

// begin says that something is held; the function that it returns, that it is
// not any more.
func (d *watchdog) begin() (end func()) {
	n := d.last.Add(1)
	d.tell('+', n)
	return func() { d.tell('-', n) }
}

func (d *watchdog) tell(what byte, n uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _ = d.input.Write(append(strconv.AppendUint([]byte{what}, n, 10), '\n'))
}

func (d *watchdog) stop() {
	_ = d.input.Close()
	_ = d.cmd.Wait()
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
