package user

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// handoverVariable holds what a watcher has left to the next one of this process:
// the descriptor of the watch, and that of the input of the watchdog.
const handoverVariable = "SYSCARE_WATCH"

// HandOver makes Run, when its context ends, leave the watch to the next Watcher of
// this process, also if that is of another program which the process executes
// meanwhile. What starts in between waits for it. The watchdog of this watcher kills
// the process if that takes longer than maxHold.
func (w *Watcher) HandOver() { w.handsOver.Store(true) }

// leave ends a watcher that hands over.
func (w *Watcher) leave() error {
	w.work.Wait()
	input := w.dog.leave()
	if input == nil {
		return ErrNoGuard // what starts could wait for ever
	}
	for _, fd := range []int{w.fd, int(input.Fd())} {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("leave the watch to the next program: %w", err)
		}
	}
	w.left = input // or its descriptor would be closed with it
	return os.Setenv(handoverVariable, fmt.Sprintf("%d %d", w.fd, input.Fd()))
}

// leave tells the watchdog that something is held, and gives away its input; nil
// if it does not listen.
func (d *watchdog) leave() *os.File {
	if _, listens := d.begin(); !listens {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	input := d.input
	d.input = nil
	return input
}

// inherited takes over what an earlier watcher of this process has left, if it
// has. The function that is returned sends away the watchdog of that one.
func inherited() (fd int, release func(), ok bool) {
	text, ok := os.LookupEnv(handoverVariable)
	if !ok {
		return 0, nil, false
	}
	_ = os.Unsetenv(handoverVariable)
	var input int
	if n, err := fmt.Sscan(text, &fd, &input); n != 2 || err != nil || fd <= 2 || input <= 2 {
		return 0, nil, false
	}
	if what, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err != nil || what != "anon_inode:[fanotify]" {
		return 0, nil, false
	}
	for _, fd := range []int{fd, input} {
		unix.CloseOnExec(fd)
	}
	// Watchdog and guard of the earlier program are children that it cannot wait for.
	children, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	return fd, func() {
		_ = unix.Close(input)
		for _, child := range strings.Fields(string(children)) {
			if pid, err := strconv.Atoi(child); err == nil {
				go func() { _, _ = unix.Wait4(pid, nil, 0, nil) }()
			}
		}
	}, true
}

// forget ends the watch on a file that nobody wants watched: an earlier watcher did.
// The caller holds w.mu.
func (w *Watcher) forget(fd int) {
	_ = unix.FanotifyMark(w.fd, unix.FAN_MARK_REMOVE, unix.FAN_OPEN_PERM|unix.FAN_OPEN_EXEC_PERM, fd, "")
}
