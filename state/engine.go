package state

import (
	"context"
	"time"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
)

// Presence is what one process carries of one entity.
type Presence int

// The presences, in order: each is a step further in.
const (
	Absent Presence = iota // nothing
	Loaded                 // the code is there, switched off
	Active                 // calls run the new code
)

// Process is a running process. Start distinguishes two processes that had
// the same PID one after the other.
type Process struct {
	PID   int    `json:"pid"`
	Name  string `json:"name"`
	Start uint64 `json:"start"`
	// Executable is the path of its program, "" if it cannot be told.
	Executable string `json:"executable,omitempty"`
}

// Entity is what the engine needs of an entity. Object and Module may be nil when
// code is only switched off or taken out.
type Entity struct {
	UUID    string
	BuildID object.BuildID
	Object  *patchobject.Object // of a patch of programs
	Module  []byte              // of a patch of the kernel: a livepatch module
	// Retires is an entity of another version of the patch. Where it is active,
	// this one takes its place when it becomes active, with no moment between.
	Retires *Entity
}

// Tuning is what a user can say about a change of a process.
type Tuning struct {
	Timeout time.Duration // how long to wait for busy code; 0: the engine's default
	Force   bool          // do not wait for stacks to leave the changed functions
}

// PausePart is a named share of the time for which a process stood still.
type PausePart struct {
	Name string        `json:"name"`
	Time time.Duration `json:"ns"`
}

// Report is what was done in one process.
type Report struct {
	Process   Process       `json:"process"`
	Entity    string        `json:"entity"` // name of the entity
	Functions []string      `json:"functions"`
	Attempts  int           `json:"attempts"`
	Threads   int           `json:"threads"`
	Pause     time.Duration `json:"pause_ns"`
	Parts     []PausePart   `json:"parts"`
}

// Engine looks at processes and changes them. All methods may be called from
// several goroutines, for one process from one at a time.
type Engine interface {
	// Find lists the processes that map the file with this build ID.
	Find(ctx context.Context, id object.BuildID) ([]Process, error)
	// Presence reads from the process what it carries, by entity UUID.
	Presence(ctx context.Context, p Process) (map[string]Presence, error)
	// Bring takes an entity in a process to a presence, or leaves the process
	// as it was and returns an error: ErrGone, ErrBusy, ErrMismatch,
	// ErrConflict, or another. To be there already is no error.
	Bring(ctx context.Context, p Process, e Entity, want Presence, t Tuning) (Report, error)
	// Repair finishes or undoes what somebody who was killed left half done.
	Repair(ctx context.Context, p Process) error
}
