package user

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Crash is a process that ends by a signal which means a fault of its own:
// SIGSEGV, SIGILL, SIGBUS, SIGABRT and their like.
type Crash struct {
	PID     int
	Signal  unix.Signal
	Address uint64 // of the instruction; that of abort is in the C library
	// Stack is what was on the stack of the thread, from its top on, of a size
	// that holds many calls.
	Stack []uint64
}

// errSample says that the kernel's record of a crash is not understood.
var errSample = errors.New("not a valid sample")

// The layout of a sample, perf_event_open(2), with what WatchCrashes asks for:
//
//	u32 process, u32 thread
//	u32 bytes of the tracepoint's record, which begins with
//	    8 bytes common to all, s32 signal
//	u64 kind of the registers that follow: 2 for those of a 64-bit program
//	u64 stack pointer, u64 program counter; not with kind 0
//	u64 bytes reserved for the stack, these bytes
//	u64 how many of them were filled; not if none were reserved
const (
	registersOf64Bit = 2
	signalOffset     = 8
)

func parseSample(b []byte) (Crash, error) {
	le := binary.LittleEndian
	take := func(n uint64) []byte {
		if n > uint64(len(b)) {
			b = nil
			return make([]byte, 8)
		}
		var part []byte
		part, b = b[:n:n], b[n:]
		return part
	}
	head := take(12)
	if len(head) < 12 {
		return Crash{}, errSample
	}
	c := Crash{PID: int(int32(le.Uint32(head)))}
	raw := take(uint64(le.Uint32(head[8:])))
	if len(raw) < signalOffset+4 {
		return Crash{}, errSample
	}
	c.Signal = unix.Signal(int32(le.Uint32(raw[signalOffset:])))
	if le.Uint64(take(8)) != registersOf64Bit || len(b) < 24 {
		return Crash{}, errSample
	}
	take(8)
	c.Address = le.Uint64(take(8))
	reserved := le.Uint64(take(8))
	if reserved == 0 {
		return c, nil
	}
	stack := take(reserved)
	if len(b) < 8 {
		return Crash{}, errSample
	}
	for n := min(le.Uint64(b), uint64(len(stack))); n >= 8; n -= 8 {
		c.Stack = append(c.Stack, le.Uint64(stack))
		stack = stack[8:]
	}
	return c, nil
}

// A Place is code of a patch in a process.
type Place struct {
	UUID       string
	Start, End uint64 // of the code
	functions  []function
}

// Function names the function at an address, "" if none is known.
func (p Place) Function(address uint64) string {
	for _, f := range p.functions {
		if f.new.size > 0 && address >= f.new.at && address <= f.new.end() {
			return f.name
		}
	}
	return ""
}

func (p Place) has(address uint64) bool { return address >= p.Start && address < p.End }

// Direct returns the address in the place at which the crash happened, 0 if it
// happened elsewhere.
func (p Place) Direct(c Crash) uint64 {
	if p.has(c.Address) {
		return c.Address
	}
	return 0
}

// Called returns the address in the place that the thread would have returned
// to: what crashed was called from there. 0 if there is none. It can be left
// from an earlier call, too.
func (p Place) Called(c Crash) uint64 {
	for _, word := range c.Stack {
		if p.has(word - 1) {
			return word - 1
		}
	}
	return 0
}

// Places lists where the process has the code of patches.
func Places(ctx context.Context, p Process) ([]Place, error) {
	var places []Place
	err := p.look(ctx, func(_ memory, all []*header) error {
		for _, h := range all {
			places = append(places, Place{h.uuid.String(), h.code.at, h.code.end(), h.functions})
		}
		return nil
	})
	return places, p.explain(err)
}

// look reads the regions in a process and calls f with them.
func (p Process) look(ctx context.Context, f func(memory, []*header) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	maps := mapsReader{fd: -1}
	mem := memory{fd: -1}
	defer func() { maps.close(); mem.close() }()
	var err error
	if maps.fd, err = unix.Open(p.path("maps"), unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
		mem.fd, err = unix.Open(p.path("mem"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if gone(err) { // it has lost its memory and may yet look alive
		return ErrGone{PID: p.PID}
	}
	if err != nil {
		return fmt.Errorf("open memory of process %d: %w", p.PID, err)
	}
	known, err := maps.read()
	if err != nil {
		return err
	}
	err = f(mem, regionsIn(mem, known))
	if err != nil && len(known) > 0 {
		if _, memErr := mem.word(known[0].start); memErr != nil { // what was there before is not
			return ErrGone{PID: p.PID}
		}
	}
	return err
}
