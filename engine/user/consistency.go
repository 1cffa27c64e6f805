package user

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// zone is code that no thread may be in: addresses in [lo, hi). The first
// address is inside, because a loop may come back to it with other arguments
// than any caller gave; it is no return address, as pointers to functions are
// everywhere. A return address may be hi itself: after a call that ends a
// function.
type zone struct {
	lo, hi uint64
	closed bool // hi counts as a return address
	name   string
}

func (z zone) hasPC(a uint64) bool     { return a >= z.lo && a < z.hi }
func (z zone) hasReturn(a uint64) bool { return a > z.lo && (a < z.hi || a == z.hi && z.closed) }

// activationZones are the functions about to be replaced; with force, only the
// bytes that are overwritten.
func activationZones(h *header, force bool) []zone {
	var zones []zone
	for _, f := range h.functions {
		switch {
		case !force:
			zones = append(zones, zone{lo: f.old.at, hi: f.old.end(), closed: true, name: f.name})
		case f.redirects():
			zones = append(zones, zone{lo: f.jumpAt(), hi: f.jumpAt() + uint64(len(f.jump)), name: f.name})
		}
	}
	return zones
}

// deactivationZones are the new code. A jump that is taken away needs no rule
// of its own: no thread can be inside one instruction.
func deactivationZones(h *header, force bool) []zone {
	if force {
		return nil
	}
	return []zone{{lo: h.code.at, hi: h.code.end(), closed: true}}
}

// nameFor says in which function of the patch an address is.
func (h *header) nameFor(z zone, a uint64) string {
	if z.name != "" {
		return z.name
	}
	for _, f := range h.functions {
		if f.new.size > 0 && a >= f.new.at && a <= f.new.end() {
			return f.name
		}
	}
	return "code of the patch"
}

const (
	maxStack   = 16 << 20 // of one stack that is scanned, bytes
	maxVectors = 1024     // of one call, UIO_MAXIOV
)

// examiner looks for threads in the zones, in one stop.
type examiner struct {
	proc       Process
	mem        memory
	maps       []mapping
	head       *header
	zones      []zone
	lo, hi     uint64 // around all zones
	startStack uint64 // of the main thread
	unwinder   *unwinder
	buf        []byte
	// suspects counts threads that only unwinding could clear.
	suspects int
	live     []byte // of the stack scanned last, from liveAt
	liveAt   uint64
	busy     []int // threads in a zone, by index
}

func (x *examiner) prepare() {
	x.lo, x.hi = ^uint64(0), 0
	for _, z := range x.zones {
		x.lo, x.hi = min(x.lo, z.lo), max(x.hi, z.hi)
	}
}

// ownStack returns the mapping of the thread's ordinary stack if its stack
// pointer is there: the initial stack, or one that also holds the thread
// pointer, as C libraries lay thread stacks out.
func ownStack(maps []mapping, th *thread) *mapping {
	m := find(maps, th.regs.Rsp)
	if m == nil || !m.write {
		return nil
	}
	if string(m.name) == "[stack]" || m.contains(th.regs.Fs_base) && th.regs.Fs_base > th.regs.Rsp {
		return m
	}
	return nil
}

// check fails with ErrBusy if the thread is in a zone.
func (x *examiner) check(th *thread) error {
	if len(x.zones) == 0 {
		return nil
	}
	for _, z := range x.zones {
		if z.hasPC(th.regs.Rip) {
			return ErrBusy{PID: x.proc.PID, TID: th.tid, Function: x.head.nameFor(z, th.regs.Rip), PC: true}
		}
	}
	hit, sure, err := x.scan(th)
	if err != nil || hit == "" && sure {
		return err
	}
	x.suspects++
	if x.unwinder != nil {
		found, err := x.unwind(th)
		if err == nil {
			if found == "" {
				return nil // what the scan saw was left over from earlier calls
			}
			hit = found
		}
	}
	if hit == "" {
		hit = x.head.nameFor(x.zones[0], 0)
	}
	return ErrBusy{PID: x.proc.PID, TID: th.tid, Function: hit}
}

// scan looks at every word of the live stack. A return address is always at or
// above the stack pointer, so the red zone needs no look; but some assembly
// (vfork) keeps one in a register. sure means that the scan saw all of the
// thread's frames.
func (x *examiner) scan(th *thread) (hit string, sure bool, err error) {
	x.live = nil
	for _, v := range gregs(&th.regs) {
		if v != th.regs.Rip && hit == "" {
			hit = x.returnHit(v)
		}
	}
	live, sure := x.extent(th)
	if live.size == 0 {
		return hit, sure, nil
	}
	b := th.stack
	if b == nil {
		if int(live.size) > len(x.buf) {
			x.buf = make([]byte, live.size)
		}
		b = x.buf[:live.size]
		if err := x.mem.read(b, live.at); err != nil {
			return "", false, fmt.Errorf("stack of thread %d: %w", th.tid, err)
		}
	}
	th.stack = nil // it may run again
	x.live, x.liveAt = b, live.at
	for ; len(b) >= 8 && hit == ""; b = b[8:] {
		if v := binary.LittleEndian.Uint64(b); v > x.lo && v <= x.hi {
			hit = x.returnHit(v)
		}
	}
	return hit, sure, nil
}

// extent is the part of the thread's stack that is in use, in whole words. sure
// means that it holds all of the thread's frames.
func (x *examiner) extent(th *thread) (live span, sure bool) {
	m := ownStack(x.maps, th)
	sure = m != nil
	if m == nil {
		if m = find(x.maps, th.regs.Rsp); m == nil {
			return span{}, false
		}
	}
	from, to := align(th.regs.Rsp, 8), m.end
	switch {
	case !sure:
	case string(m.name) == "[stack]":
		if x.startStack > from && x.startStack < to {
			to = x.startStack
		}
	default:
		to = th.regs.Fs_base
	}
	if to-from > maxStack {
		sure, to = false, from+maxStack
	}
	return span{from, (to - from) &^ 7}, sure
}

// readAhead reads the stacks of as many threads as fit into the buffer with one
// system call, and returns how many it has dealt with: one at least. A stack that
// cannot be read so is left to scan.
func (x *examiner) readAhead(threads []thread) (n int) {
	var local []unix.Iovec
	var remote []unix.RemoteIovec
	room := x.buf
	for ; n < len(threads) && len(local) < maxVectors; n++ {
		th := &threads[n]
		if th.dead || !th.haveRegs {
			continue
		}
		live, _ := x.extent(th)
		if live.size > uint64(len(room)) {
			break
		}
		if live.size == 0 {
			continue
		}
		th.stack, room = room[:live.size], room[live.size:]
		local = append(local, unix.Iovec{Base: &th.stack[0], Len: live.size})
		remote = append(remote, unix.RemoteIovec{Base: uintptr(live.at), Len: int(live.size)})
	}
	read, err := 0, error(nil)
	if len(local) > 0 {
		read, err = unix.ProcessVMReadv(x.proc.PID, local, remote, 0)
	}
	for i := range threads[:n] {
		th := &threads[i]
		if read -= len(th.stack); err != nil || read < 0 {
			th.stack = nil
		}
	}
	return max(n, 1)
}

func (x *examiner) returnHit(v uint64) string {
	for _, z := range x.zones {
		if z.hasReturn(v) {
			return x.head.nameFor(z, v)
		}
	}
	return ""
}

// unwind walks the thread's frames and names the first that is in a zone.
func (x *examiner) unwind(th *thread) (hit string, err error) {
	x.unwinder.stack, x.unwinder.stackAt = x.live, x.liveAt
	err = x.unwinder.walk(&th.regs, func(pc uint64, exact bool) bool {
		for _, z := range x.zones {
			if exact && z.hasPC(pc) || !exact && z.hasReturn(pc) {
				hit = x.head.nameFor(z, pc)
				return false
			}
		}
		return true
	})
	return hit, err
}

// checkAll examines every thread that is held and fails with the first that is
// busy.
func (x *examiner) checkAll(t *tracer) error {
	x.busy = x.busy[:0]
	var first error
	ahead := 0
	for i := range t.threads {
		if i == ahead && len(x.zones) > 0 {
			ahead += x.readAhead(t.threads[i:])
		}
		th := &t.threads[i]
		if th.dead || !th.haveRegs {
			continue
		}
		err := x.check(th)
		var busy ErrBusy
		switch {
		case errors.As(err, &busy):
			x.busy = append(x.busy, i)
			if first == nil {
				first = err
			}
		case err != nil:
			return err
		}
	}
	return first
}

// awaitingStub reports whether any thread is in the stub at the entry point.
func awaitingStub(t *tracer, e entryPoint) bool {
	for i := range t.threads {
		th := &t.threads[i]
		if th.haveRegs && th.regs.Rip >= e.at && th.regs.Rip <= e.at+uint64(len(stub)) {
			return true
		}
	}
	return false
}
