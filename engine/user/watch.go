package user

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/openeuler/syscare/engine/object"
)

// maxHold is how long a program that starts may be held in all.
const maxHold = time.Second

// followTime is how much of that the way to its start may take.
const followTime = 700 * time.Millisecond

// A WatchedFile is a target whose starts and loads are waited for.
type WatchedFile struct {
	Path    string // of the file, as this process sees it
	BuildID object.BuildID
}

// A Start is a process that has just mapped a target.
type Start struct {
	Process Process
	BuildID object.BuildID
	// Options are for the transactions on the process. They are good only while
	// the function that was given them runs, and only on its own goroutine.
	Options Options
	// Held says that no code of the target has run yet. Else the process could
	// not be held: it runs.
	Held bool
}

// Watcher holds programs that start, or load, watched files until a function
// has patched them (fanotify(7), permission events). If the Watcher dies the
// kernel lets all go on. A second process kills it if it holds one longer than
// maxHold.
type Watcher struct {
	fd      int
	log     *slog.Logger
	patch   func(context.Context, Start)
	mu      sync.Mutex
	watched map[fileID]watchedFile
	dog     *watchdog
	work    sync.WaitGroup

	set       chan struct{} // closed when files have been set
	setOnce   sync.Once
	release   func() // sends away the watchdog of an earlier watcher
	handsOver atomic.Bool
	left      *os.File
}

type watchedFile struct {
	WatchedFile
	program bool
}

// NewWatcher makes a watcher that calls patch for each start. The calls come
// from several goroutines at once. It takes over what a watcher of this process has
// handed over.
func NewWatcher(log *slog.Logger, patch func(context.Context, Start)) (*Watcher, error) {
	w := &Watcher{log: log, patch: patch, watched: map[fileID]watchedFile{}, set: make(chan struct{})}
	var err error
	w.fd, w.release, err = watchDescriptor()
	if err != nil {
		return nil, fmt.Errorf("watch for programs that start (fanotify): %w", err)
	}
	w.dog, err = startWatchdog(maxHold)
	if err == nil {
		err = guard.send(nil) // nothing is to be started while something is held
	}
	if err != nil {
		_ = unix.Close(w.fd)
		return nil, err
	}
	return w, nil
}

func watchDescriptor() (fd int, release func(), err error) {
	if fd, release, ok := inherited(); ok {
		return fd, release, nil
	}
	fd, err = unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_REPORT_TID|unix.FAN_UNLIMITED_QUEUE|unix.FAN_UNLIMITED_MARKS,
		unix.O_RDONLY|unix.O_CLOEXEC|unix.O_LARGEFILE)
	return fd, func() {}, err
}

// Set makes the files watched, and no others. A file that is not there or has
// another build ID is left out; so is one that cannot be watched, which is an
// error.
func (w *Watcher) Set(files []WatchedFile) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	now := map[fileID]watchedFile{}
	for _, file := range files {
		id, program, err := identify(file)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrNoTarget) {
			continue
		}
		if err == nil {
			err = w.mark(unix.FAN_MARK_ADD, file.Path, program)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("watch %s: %w", file.Path, err))
			continue
		}
		now[id] = watchedFile{file, program}
	}
	for id, old := range w.watched {
		if _, stays := now[id]; !stays {
			// The file may have been replaced: its mark went with it.
			_ = w.mark(unix.FAN_MARK_REMOVE, old.Path, old.program)
		}
	}
	w.watched = now
	w.setOnce.Do(func() { close(w.set) })
	return errors.Join(errs...)
}

func (w *Watcher) mark(how uint, path string, program bool) error {
	mask := uint64(unix.FAN_OPEN_PERM)
	if program {
		mask = unix.FAN_OPEN_EXEC_PERM
	}
	return unix.FanotifyMark(w.fd, how|unix.FAN_MARK_DONT_FOLLOW, mask, unix.AT_FDCWD, path)
}

// identify names a file and tells whether it is started, not loaded.
func identify(file WatchedFile) (id fileID, program bool, err error) {
	// The path may be in the hands of a container: nothing there is waited for.
	raw, err := os.OpenFile(file.Path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return id, false, err
	}
	defer raw.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(raw.Fd()), &st); err != nil {
		return id, false, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return id, false, ErrNoTarget
	}
	f, err := object.Read(raw)
	if err != nil {
		return id, false, err
	}
	if f.BuildID != file.BuildID {
		return id, false, ErrNoTarget
	}
	interpreted, loadable := false, false
	for _, s := range f.Segments {
		interpreted = interpreted || s.Type == 3 // PT_INTERP
		loadable = loadable || s.Type == 2       // PT_DYNAMIC
	}
	return fileID{st.Dev, st.Ino}, interpreted || !loadable || f.Type == 2, nil
}

// Run watches until ctx ends, from when files are set: before that, nobody could
// tell what to do with what starts.
func (w *Watcher) Run(ctx context.Context) error {
	defer w.close()
	select {
	case <-ctx.Done():
		return nil
	case <-w.set:
		w.release()
	}
	buf := make([]byte, 64<<10)
	for {
		fds := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, 100); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for programs that start: %w", err)
		}
		n, err := unix.Read(w.fd, buf)
		if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("read what starts: %w", err)
		}
		w.events(ctx, buf[:max(n, 0)])
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (w *Watcher) close() {
	if w.handsOver.Load() {
		err := w.leave()
		if err == nil {
			return
		}
		w.log.Warn("what starts meanwhile is patched later", "error", err)
	}
	_ = unix.Close(w.fd) // lets everybody go
	w.work.Wait()
	w.dog.stop()
}

func (w *Watcher) events(ctx context.Context, b []byte) {
	for len(b) >= int(unsafe.Sizeof(unix.FanotifyEventMetadata{})) {
		var e unix.FanotifyEventMetadata
		if binary.Read(bytes.NewReader(b), binary.LittleEndian, &e) != nil || int(e.Event_len) > len(b) || e.Event_len == 0 {
			return
		}
		b = b[e.Event_len:]
		if e.Fd < 0 {
			continue
		}
		if e.Mask&(unix.FAN_OPEN_EXEC_PERM|unix.FAN_OPEN_PERM) == 0 {
			_ = unix.Close(int(e.Fd))
			continue
		}
		done, guarded := w.dog.begin()
		w.work.Go(func() {
			defer done()
			w.handle(ctx, int(e.Fd), int(e.Pid), guarded)
		})
	}
}

// handle answers one event: in the end, or when the thread has been attached to.
// Without a watchdog that is at once. What has begun comes to its end also after
// ctx has ended.
func (w *Watcher) handle(ctx context.Context, fd, tid int, guarded bool) {
	var once sync.Once
	allow := func() {
		once.Do(func() {
			answer := struct {
				fd       int32
				response uint32
			}{int32(fd), unix.FAN_ALLOW}
			_, _ = unix.Write(w.fd, (*[8]byte)(unsafe.Pointer(&answer))[:])
			_ = unix.Close(fd)
		})
	}
	defer allow()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return
	}
	w.mu.Lock()
	file, watched := w.watched[fileID{st.Dev, st.Ino}]
	if !watched {
		w.forget(fd)
	}
	w.mu.Unlock()
	if group, err := threadGroup(tid); !watched || err != nil || group == unix.Getpid() {
		return
	}
	if !guarded {
		allow()
		w.late(ctx, tid, file)
		return
	}
	onThread(func() bool {
		f := &follower{tid: tid, limit: time.Now().Add(followTime), mem: memory{fd: -1}, maps: mapsReader{fd: -1}}
		defer f.close()
		err := f.toStart(file.BuildID, file.program, allow)
		if err == nil {
			w.patch(context.WithoutCancel(ctx), Start{Process: f.proc, BuildID: file.BuildID, Held: true, Options: Options{Logger: w.log, Timeout: maxHold - followTime, held: f.tid}})
		}
		f.letGo()
		if err != nil && !gone(err) {
			w.log.Debug("not held at its start", "thread", tid, "file", file.Path, "reason", err)
		}
		if err != nil {
			w.late(ctx, tid, file)
		}
		return false // whatever is left of the tracing ends with the thread
	})
}

// late patches a process that could not be held, if it has the target.
func (w *Watcher) late(ctx context.Context, tid int, file watchedFile) {
	group, err := threadGroup(tid)
	if err != nil {
		return
	}
	p, err := Open(group)
	if err != nil {
		return
	}
	w.work.Go(func() {
		if has, err := p.has(file.BuildID, &knownFiles{ids: map[fileID]object.BuildID{}}); err == nil && has {
			w.patch(ctx, Start{Process: p, BuildID: file.BuildID, Options: Options{Logger: w.log}})
		}
	})
}

// threadGroup is the process of a thread.
func threadGroup(tid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return 0, err
	}
	return int(statusField(status, "Tgid", 10)), nil
}
