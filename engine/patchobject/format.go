package patchobject

import (
	"github.com/openeuler/syscare/engine/object"
)

// FormatVersion is the version of the format that this package reads and
// writes.
const FormatVersion = 1

// Names of the sections that are the format's own.
const (
	InfoSection  = ".syscare.info"
	FuncsSection = ".syscare.funcs"
	BindsSection = ".syscare.binds"
)

// TargetSuffix is added to a replaced function's name to name its old entry.
const TargetSuffix = "@target"

// Info says which patch this is and what it is for.
type Info struct {
	Format     int            `json:"format"`
	UUID       string         `json:"uuid"`        // of the entity; canonical lower-case form
	Entity     string         `json:"entity"`      // name of the entity, e.g. "redis-server"
	TargetID   object.BuildID `json:"target_id"`   // build ID of the target ELF
	TargetName string         `json:"target_name"` // file name, for people
	TargetPath string         `json:"target_path"` // installed path if known, for people
	Arch       string         `json:"arch"`        // as uname -m says, e.g. "x86_64"
	Tool       string         `json:"tool"`        // version of SysCare that made it
}

// FunctionKind says what a Function entry means.
type FunctionKind string

const (
	// Replaced functions get a jump to their new code.
	Replaced FunctionKind = "replaced"
	// Guarded ranges are parts of a replaced function elsewhere (f.cold): no
	// jump, but no thread may execute in or return into them on activation.
	Guarded FunctionKind = "guarded"
)

// Function is one replaced function or guarded range of the target ELF.
type Function struct {
	Name       string         `json:"name"`
	Source     string         `json:"source"` // source file of the unit, for people
	Kind       FunctionKind   `json:"kind"`
	OldAddress object.Address `json:"old_address"`
	OldSize    uint64         `json:"old_size"` // bytes
	// Symbol is the defined symbol of the new code; "" for Guarded.
	Symbol  string `json:"symbol,omitempty"`
	NewSize uint64 `json:"new_size,omitempty"` // bytes
	// Code is what the target's memory must hold at OldAddress, all OldSize
	// bytes, with the bytes that linking fills in set to zero and listed in
	// Holes.
	Code  []byte `json:"code"`
	Holes []Hole `json:"holes,omitempty"`
	// Digest is the SHA-256 of Code in hexadecimal.
	Digest string `json:"digest"`
}

// Hole is a range of Function.Code that is not compared.
type Hole struct {
	Offset uint32 `json:"offset"`
	Length uint32 `json:"length"`
}

// BindKind says how the value of an undefined symbol is found in a process.
type BindKind string

const (
	// BindTarget is the link-time Address in the target ELF plus load bias.
	BindTarget BindKind = "target"
	// BindDynamic is what the dynamic linker would give for Name@Version in
	// the process: the target's own GOT or PLT entry for it where there is
	// one, else a look-up through the link map.
	BindDynamic BindKind = "dynamic"
	// BindTLS is an existing thread-local variable of the target ELF; Address
	// is its offset in the target's TLS segment. It is only used by
	// thread-local relocations.
	BindTLS BindKind = "tls"
	// BindDynamicTLS is a thread-local variable of another object, which the
	// target's own GOT tells the place of.
	BindDynamicTLS BindKind = "dynamic-tls"
)

// SymbolKind says what a bind names.
type SymbolKind string

const (
	Func SymbolKind = "func"
	Data SymbolKind = "data"
	// Untyped is what undefined symbols of an object file say of functions
	// and data alike.
	Untyped SymbolKind = "untyped"
)

// Bind says where an undefined symbol of the patch object is to be found.
type Bind struct {
	Symbol  string         `json:"symbol"` // the undefined ELF symbol
	Kind    BindKind       `json:"kind"`
	Name    string         `json:"name"` // the name in the target or library
	Version string         `json:"version,omitempty"`
	Type    SymbolKind     `json:"type"`
	Weak    bool           `json:"weak,omitempty"` // dynamic: zero if nobody defines it
	Address object.Address `json:"address,omitempty"`
	Size    uint64         `json:"size,omitempty"` // bytes, 0 if unknown
	// Preemptible says of a BindTarget that the target is a shared library and
	// exports it, so that another object's definition may stand in its place.
	Preemptible bool `json:"preemptible,omitempty"`
	// Indirect says of a BindTarget that Address is that of the function which
	// chooses the implementation (STT_GNU_IFUNC).
	Indirect bool `json:"indirect,omitempty"`
}
