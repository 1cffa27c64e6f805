package state

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// changeSettle is how long changes of files of patches are collected before they
// are told of; those of the store are told of at once.
const changeSettle = 50 * time.Millisecond

// Changes tells when the store or the installed patches under root may have
// changed, and once at first, until ctx ends.
func Changes(ctx context.Context, root string) (<-chan struct{}, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch patches: %w", err)
	}
	changed := make(chan struct{}, 1)
	go func() {
		defer close(changed)
		defer func() { _ = unix.Close(fd) }()
		buf := make([]byte, 64<<10)
		missing := 0
		for news := true; ctx.Err() == nil; {
			if news || missing > 0 { // a missing directory comes with the first patch
				before := missing
				missing = watchDirs(fd, root)
				news = news || missing != before
			}
			if news {
				news = false
				select {
				case changed <- struct{}{}:
				default: // the last one has not been taken yet
				}
			}
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if n, _ := unix.Poll(fds, 200); n > 0 {
				n, _ := unix.Read(fd, buf)
				news = n > 0
				if !bytes.Contains(buf[:max(n, 0)], []byte(storeName+"\x00")) {
					time.Sleep(changeSettle) // a package brings many files
				}
				for n, err := unix.Read(fd, buf); err == nil && n > 0; n, err = unix.Read(fd, buf) {
					news = true
				}
			}
		}
	}()
	return changed, nil
}

// watchDirs watches the directories that are there; to watch one again changes
// nothing. It returns how many are missing.
func watchDirs(fd int, root string) (missing int) {
	const mask = unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_CLOSE_WRITE | unix.IN_CREATE | unix.IN_DELETE | unix.IN_DELETE_SELF | unix.IN_ATTRIB
	dirs := []string{filepath.Join(root, storeDir), filepath.Join(root, patchesDir)}
	inside, _ := filepath.Glob(filepath.Join(root, patchesDir, "*"))
	for i, dir := range append(dirs, inside...) {
		_, err := unix.InotifyAddWatch(fd, dir, mask|unix.IN_ONLYDIR)
		if err != nil && i < len(dirs) {
			missing++
		}
	}
	return missing
}
