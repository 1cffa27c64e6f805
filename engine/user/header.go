package user

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/openeuler/syscare/engine/object"
)

// A region is the read-execute memory that holds a patch in a process. It is
// an anonymous private mapping that begins with its header, all little-endian:
//
//	  0  magic "SysCare\x03"
//	  8  u32 state, which changes
//	 12  u32 bytes of the header, names included
//	 16  [32] SHA-256 of the header from 56 on
//	 48  u64 order of activation, which changes: a newer patch has a higher one
//	 56  [16] UUID of the patch
//	 72  [32] digest of the patch object
//	104  u64 address and u64 bytes of this region
//	120  u64 address and u64 bytes of the read-write region; 0 and 0 if none
//	136  u64 address and u64 bytes of the code in this region
//	152  u64 address and u64 bytes of its .eh_frame; 0 and 0 if none
//	168  u32 number of functions, u32 bytes of the build ID
//	176  [64] build ID of the target, in binary
//	240  u64 address and u64 bytes of its frame finder; 0 and 0 if none
//	256  u64 address and u64 bytes of its hooks; 0 and 0 if none
//	272  u64 address and u64 bytes of their stack, likewise
//	288  functions, then names
//
// and of each function:
//
//	  0  u64 address in the target, u64 bytes there
//	 16  u64 address of the new code, u64 bytes; 0 and 0 if the range is only
//	    guarded
//	 32  u32 offset of the jump in the function, u32 bytes of the jump, which
//	    may reach into the padding behind a short function
//	 40  [16] bytes that the jump replaces where no patch is, [16] the jump
//	 72  [32] SHA-256 of all the function's old code
//	104  u32 offset of the name in the header, u32 bytes
const (
	headerMagic   = "SysCare\x03"
	headerFixed   = 288
	functionFixed = 112
	stateOffset   = 8
	sumOffset     = 16
	orderOffset   = 48
	summedOffset  = 56
	maxHeader     = 16 << 20
	maxFunctions  = 64 << 10
	maxName       = 4096
	maxJump       = 16
	maxRegion     = 256 << 20
)

// State says how far a patch is in a process.
//
//	Loading -> Loaded -> Activating -> Active -> Deactivating -> Inactive
//	                         ^                                      |
//	                         +--------------------------------------+
//
// Loaded and Inactive become Removed, and Removed becomes Loading when the
// same patch comes back. Replacing is Activating while another patch is
// Deactivating in the same stop. These, Activating, Deactivating and Loading
// last only as long as a transaction; who finds one without a transaction
// repairs it: Loading is unmapped, Replacing becomes Active, the others
// Inactive.
type State uint32

// The states of a patch in a process.
const (
	Loading State = iota + 1
	Loaded
	Activating
	Active
	Deactivating
	Inactive
	Removed
	Replacing
)

var stateNames = map[State]string{
	Loading: "loading", Loaded: "loaded", Activating: "activating", Active: "active",
	Deactivating: "deactivating", Inactive: "inactive", Removed: "removed",
	Replacing: "replacing",
}

func (s State) String() string {
	if name, ok := stateNames[s]; ok {
		return name
	}
	return fmt.Sprintf("state %d", uint32(s))
}

func (s State) transitional() bool {
	return s == Loading || s == Activating || s == Deactivating || s == Replacing
}

// span is a range of addresses.
type span struct{ at, size uint64 }

func (s span) end() uint64 { return s.at + s.size }
func (s span) holds(o span) bool {
	return o.at >= s.at && o.size <= s.size && o.at-s.at <= s.size-o.size
}

// function is one entry of a header's table.
type function struct {
	name       string
	old, new   span
	jumpOffset uint32
	saved      []byte // nil if guarded
	jump       []byte
	digest     [32]byte
}

func (f function) jumpAt() uint64 { return f.old.at + uint64(f.jumpOffset) }
func (f function) redirects() bool {
	return len(f.jump) > 0
}

// header is the parsed header of a region.
type header struct {
	state       State
	order       uint64 // of activation
	uuid        uuid.UUID
	digest      [32]byte
	rx, rw      span
	code, frame span
	finder      span
	hooks       span
	stack       span // of hooks
	stray       bool // a hook that took too long may still run; not stored
	target      object.BuildID
	functions   []function
}

var errHeader = errors.New("not a valid region header")

func headerSize(functions []function) int {
	n := headerFixed + functionFixed*len(functions)
	for _, f := range functions {
		n += len(f.name)
	}
	return n
}

func (h *header) encode() ([]byte, error) {
	id, err := decodeBuildID(h.target)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	b := make([]byte, headerFixed, headerSize(h.functions))
	copy(b, headerMagic)
	le.PutUint32(b[stateOffset:], uint32(h.state))
	le.PutUint32(b[12:], uint32(headerSize(h.functions)))
	le.PutUint64(b[orderOffset:], h.order)
	copy(b[56:], h.uuid[:])
	copy(b[72:], h.digest[:])
	for i, s := range []span{h.rx, h.rw, h.code, h.frame} {
		le.PutUint64(b[104+16*i:], s.at)
		le.PutUint64(b[112+16*i:], s.size)
	}
	le.PutUint32(b[168:], uint32(len(h.functions)))
	le.PutUint32(b[172:], uint32(len(id)))
	copy(b[176:], id)
	for i, s := range []span{h.finder, h.hooks, h.stack} {
		le.PutUint64(b[240+16*i:], s.at)
		le.PutUint64(b[248+16*i:], s.size)
	}
	names := headerFixed + functionFixed*len(h.functions)
	for _, f := range h.functions {
		var e [functionFixed]byte
		le.PutUint64(e[0:], f.old.at)
		le.PutUint64(e[8:], f.old.size)
		le.PutUint64(e[16:], f.new.at)
		le.PutUint64(e[24:], f.new.size)
		le.PutUint32(e[32:], f.jumpOffset)
		le.PutUint32(e[36:], uint32(len(f.jump)))
		copy(e[40:56], f.saved)
		copy(e[56:72], f.jump)
		copy(e[72:104], f.digest[:])
		le.PutUint32(e[104:], uint32(names))
		le.PutUint32(e[108:], uint32(len(f.name)))
		names += len(f.name)
		b = append(b, e[:]...)
	}
	for _, f := range h.functions {
		b = append(b, f.name...)
	}
	sum := sha256.Sum256(b[summedOffset:])
	copy(b[sumOffset:], sum[:])
	if _, err := parseHeader(b, h.rx.at); err != nil {
		return nil, fmt.Errorf("header just written: %w", err)
	}
	return b, nil
}

// headerLength reads from the first bytes of a mapping how long its header
// says it is; false if it is none.
func headerLength(b []byte) (int, bool) {
	if len(b) < headerFixed || !bytes.HasPrefix(b, []byte(headerMagic)) {
		return 0, false
	}
	n := binary.LittleEndian.Uint32(b[12:])
	return int(n), n >= headerFixed && n <= maxHeader
}

// parseHeader reads the header of a region at address at. Its bytes come out
// of a process that can write what it likes.
func parseHeader(b []byte, at uint64) (*header, error) {
	n, ok := headerLength(b)
	if !ok || n != len(b) {
		return nil, fmt.Errorf("%w: no magic or wrong size", errHeader)
	}
	if sum := sha256.Sum256(b[summedOffset:]); !bytes.Equal(sum[:], b[sumOffset:orderOffset]) {
		return nil, fmt.Errorf("%w: wrong checksum", errHeader)
	}
	le := binary.LittleEndian
	h := &header{state: State(le.Uint32(b[stateOffset:])), order: le.Uint64(b[orderOffset:]), uuid: uuid.UUID(b[56:72]), digest: [32]byte(b[72:104])}
	if _, ok := stateNames[h.state]; !ok {
		return nil, fmt.Errorf("%w: unknown %v", errHeader, h.state)
	}
	for i, s := range []*span{&h.rx, &h.rw, &h.code, &h.frame} {
		*s = span{le.Uint64(b[104+16*i:]), le.Uint64(b[112+16*i:])}
	}
	for i, s := range []*span{&h.finder, &h.hooks, &h.stack} {
		*s = span{le.Uint64(b[240+16*i:]), le.Uint64(b[248+16*i:])}
	}
	if h.rx.at != at || h.rx.size > maxRegion || h.rx.size < uint64(n) || h.rx.size%pageSize != 0 || h.rw.size > maxRegion ||
		!h.rx.holds(h.code) || h.frame.size > 0 && !h.rx.holds(h.frame) ||
		h.finder.size > 0 && (!h.rx.holds(h.finder) || h.finder.size < finderCode) ||
		h.hooks.size > 0 && (!h.rx.holds(h.hooks) || h.hooks.size < hookTable || !h.rw.holds(h.stack) || h.stack.size < hookStack) ||
		h.rw.size > 0 && (h.rw.at != h.rx.end() || h.rw.size%pageSize != 0) {
		return nil, fmt.Errorf("%w: impossible addresses", errHeader)
	}
	idSize, count := le.Uint32(b[172:]), le.Uint32(b[168:])
	if idSize == 0 || idSize > 64 || count > maxFunctions || headerFixed+functionFixed*int(count) > n {
		return nil, fmt.Errorf("%w: impossible counts", errHeader)
	}
	h.target = object.BuildID(fmt.Sprintf("%x", b[176:176+idSize]))
	for i := range int(count) {
		f, err := h.parseFunction(b, headerFixed+functionFixed*i)
		if err != nil {
			return nil, err
		}
		h.functions = append(h.functions, f)
	}
	return h, nil
}

func (h *header) parseFunction(b []byte, offset int) (function, error) {
	le := binary.LittleEndian
	e := b[offset : offset+functionFixed]
	f := function{
		old: span{le.Uint64(e), le.Uint64(e[8:])}, new: span{le.Uint64(e[16:]), le.Uint64(e[24:])},
		jumpOffset: le.Uint32(e[32:]), digest: [32]byte(e[72:104]),
	}
	jump, nameAt, nameSize := le.Uint32(e[36:]), uint64(le.Uint32(e[104:])), uint64(le.Uint32(e[108:]))
	if nameSize > maxName || nameAt > uint64(len(b)) || nameSize > uint64(len(b))-nameAt {
		return function{}, fmt.Errorf("%w: a name lies outside", errHeader)
	}
	f.name = string(b[nameAt : nameAt+nameSize])
	if f.old.size == 0 || f.old.size > maxRegion || f.old.at > 1<<47 || jump > maxJump {
		return function{}, fmt.Errorf("%w: function %q has impossible addresses", errHeader, f.name)
	}
	if jump == 0 {
		return f, nil
	}
	if uint64(f.jumpOffset) > f.old.size || !h.code.holds(f.new) {
		return function{}, fmt.Errorf("%w: function %q has an impossible jump", errHeader, f.name)
	}
	f.saved, f.jump = bytes.Clone(e[40:40+jump]), bytes.Clone(e[56:56+jump])
	return f, nil
}

func decodeBuildID(id object.BuildID) ([]byte, error) {
	if _, err := object.ParseBuildID(string(id)); err != nil {
		return nil, err
	}
	var raw []byte
	_, err := fmt.Sscanf(string(id), "%x", &raw)
	return raw, err
}
