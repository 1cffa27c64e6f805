package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const lockPath = "run/syscare/lock"

// lock takes the lock that makes writers exclude each other; calling the
// result gives it back, and so does the end of the process. The file holds
// the PID of its last owner, for the message only.
func lock(ctx context.Context, root string, wait time.Duration) (unlock func(), err error) {
	path := filepath.Join(root, lockPath)
	if err := makeDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, needRoot(&os.PathError{Op: "open", Path: path, Err: err})
	}
	f := os.NewFile(uintptr(fd), path)
	deadline := time.Now().Add(wait)
	for {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if time.Now().After(deadline) {
			owner := lockOwner(f)
			f.Close()
			return nil, fmt.Errorf("%w%s; try again when it is done", ErrLocked, owner)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	}
	return func() { _ = f.Close() }, nil
}

func lockOwner(f *os.File) string {
	buf := make([]byte, 16)
	n, _ := f.ReadAt(buf, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

// makeDir makes a directory that only root can change, and checks one that is
// there already.
func makeDir(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return needRoot(err)
	}
	d, err := openTrustedDir(path)
	if err != nil {
		return err
	}
	d.close()
	return nil
}

// needRoot says what to do about a refused access.
func needRoot(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: %w; run as root", ErrPermission, err)
	}
	return err
}
