package user

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/openeuler/syscare/engine/isa"
)

// The kernel's tracepoint signal:signal_deliver says when a thread is about to
// receive a signal, in the thread itself: registers and stack are those of the
// crash. Signals that somebody sent (SI_USER, SI_QUEUE) are no crashes.
const (
	crashEvent  = "events/signal/signal_deliver/id"
	crashFilter = "sa_handler==0 && code!=0 && code!=-1 && (sig==4 || sig==5 || sig==6 || sig==7 || sig==8 || sig==11 || sig==31)"
)

const (
	crashStack = 16 << 10 // bytes of the stack that are looked at
	crashPages = 32       // of the buffer of one processor, a power of two
)

// WatchCrashes calls crashed for each process of the machine that ends by a
// fault from now on, until ctx ends.
func WatchCrashes(ctx context.Context, crashed func(Crash)) error {
	w, err := newCrashWatch()
	if err != nil {
		return fmt.Errorf("watch for crashes: %w", err)
	}
	defer w.close()
	stop := context.AfterFunc(ctx, w.wake)
	defer stop()
	for ctx.Err() == nil {
		if err := w.wait(); err != nil {
			return fmt.Errorf("watch for crashes: %w", err)
		}
		for _, r := range w.rings {
			r.drain(crashed)
		}
	}
	return nil
}

type crashWatch struct {
	rings []*ring
	polls []unix.PollFd // of the rings, and of an event that ends the waiting
}

func newCrashWatch() (w *crashWatch, err error) {
	id, err := tracepoint(crashEvent)
	if err != nil {
		return nil, err
	}
	cpus, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return nil, err
	}
	online, err := parseCPUs(strings.TrimSpace(string(cpus)))
	if err != nil {
		return nil, err
	}
	w = &crashWatch{}
	half := w
	defer func() {
		if err != nil {
			half.close()
		}
	}()
	for _, cpu := range online {
		r, err := newRing(id, cpu)
		if err != nil {
			return nil, err
		}
		w.rings = append(w.rings, r)
		w.polls = append(w.polls, unix.PollFd{Fd: int32(r.fd), Events: unix.POLLIN})
	}
	end, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	w.polls = append(w.polls, unix.PollFd{Fd: int32(end), Events: unix.POLLIN})
	return w, nil
}

func (w *crashWatch) wait() error {
	if _, err := unix.Poll(w.polls, -1); err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	return nil
}

func (w *crashWatch) wake() {
	_, _ = unix.Write(int(w.polls[len(w.polls)-1].Fd), []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

func (w *crashWatch) close() {
	for _, r := range w.rings {
		_ = unix.Munmap(r.data)
	}
	for _, p := range w.polls {
		_ = unix.Close(int(p.Fd))
	}
}

// parseCPUs reads a list such as 0-3,8.
func parseCPUs(list string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err := errors.Join(err1, err2); err != nil || to < from || to > 1<<16 {
			return nil, fmt.Errorf("list of processors %q is not valid", list)
		}
		for cpu := from; cpu <= to; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// tracepoint reads the number of a tracepoint from the kernel's file system for
// tracing, which is mounted for us alone if it is not mounted.
func tracepoint(name string) (uint64, error) {
	data, err := os.ReadFile(path.Join("/sys/kernel/tracing", name))
	if err != nil {
		data, err = readUnmounted("tracefs", name)
	}
	if err != nil {
		return 0, fmt.Errorf("tracepoint %s: %w", path.Base(path.Dir(name)), err)
	}
	return strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
}

// readUnmounted reads a file of a file system that nobody has mounted.
func readUnmounted(fileSystem, name string) ([]byte, error) {
	fs, err := unix.Fsopen(fileSystem, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fs) }()
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, err
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(mount) }()
	fd, err := unix.Openat(mount, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	buf := make([]byte, 64)
	n, err := f.Read(buf)
	return buf[:n], err
}

// ring is the buffer that the kernel fills with what happens on one processor:
// a page that says how far it is filled, then records. perf_event_open(2).
type ring struct {
	fd   int
	data []byte
}

func newRing(tracepoint uint64, cpu int) (*ring, error) {
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_TRACEPOINT, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Config: tracepoint,
		Sample: 1, Wakeup: 1,
		Sample_type:       unix.PERF_SAMPLE_TID | unix.PERF_SAMPLE_RAW | unix.PERF_SAMPLE_REGS_USER | unix.PERF_SAMPLE_STACK_USER,
		Sample_regs_user:  isa.AMD64.SampledRegisters,
		Sample_stack_user: crashStack,
		Bits:              unix.PerfBitDisabled,
	}
	fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("perf_event_open on processor %d: %w", cpu, err)
	}
	r := &ring{fd: fd}
	filter := append([]byte(crashFilter), 0)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PERF_EVENT_IOC_SET_FILTER, uintptr(unsafe.Pointer(&filter[0])))
	runtime.KeepAlive(filter)
	if errno == 0 {
		r.data, err = unix.Mmap(fd, 0, (1+crashPages)*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err == nil {
			_, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PERF_EVENT_IOC_ENABLE, 0)
		}
	}
	if errno != 0 {
		err = errno
	}
	if err != nil {
		if r.data != nil {
			_ = unix.Munmap(r.data)
		}
		_ = unix.Close(fd)
		return nil, fmt.Errorf("events of processor %d: %w", cpu, err)
	}
	return r, nil
}

// drain passes on what the kernel has written since.
func (r *ring) drain(crashed func(Crash)) {
	const header = 8 // u32 type, u16 flags, u16 bytes
	page := (*unix.PerfEventMmapPage)(unsafe.Pointer(&r.data[0]))
	records := r.data[os.Getpagesize():]
	size := uint64(len(records))
	head, tail := atomic.LoadUint64(&page.Data_head), page.Data_tail
	for tail+header <= head {
		at := tail % size // records are aligned to 8 bytes
		kind, length := binary.LittleEndian.Uint32(records[at:]), uint64(binary.LittleEndian.Uint16(records[at+6:]))
		if length < header || tail+length > head {
			tail = head // cannot be; begin anew
			break
		}
		body := make([]byte, length-header)
		n := copy(body, records[(at+header)%size:])
		copy(body[n:], records)
		tail += length
		// The kernel may use the room again while the record is dealt with.
		atomic.StoreUint64(&page.Data_tail, tail)
		if kind != unix.PERF_RECORD_SAMPLE {
			continue
		}
		if c, err := parseSample(body); err == nil {
			crashed(c)
		}
	}
	atomic.StoreUint64(&page.Data_tail, tail)
}
