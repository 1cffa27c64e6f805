package user

import (
	"errors"
	"fmt"
	"time"

	"github.com/openeuler/syscare/engine/object"
)

var (
	// ErrAlready says that the process is already in the state asked for.
	ErrAlready = errors.New("already in that state")
	// ErrNotApplied says that the process holds no such patch.
	ErrNotApplied = errors.New("patch is not in the process")
	// ErrNoTarget says that the process does not map the target ELF.
	ErrNoTarget = errors.New("process does not map the target")
	// ErrNoGuard says that the program did not call RunGuardIfAsked, without
	// which nothing would repair a process after our death.
	ErrNoGuard = errors.New("RunGuardIfAsked was not called at the start of the program")
)

// ErrBusy says that a thread stays in code that is about to change.
type ErrBusy struct {
	PID, TID int
	Function string
	// PC tells a thread executing in the function from one that will return
	// into it.
	PC bool
}

func (e ErrBusy) Error() string {
	how := "will return into"
	if e.PC {
		how = "is executing in"
	}
	return fmt.Sprintf("process %d is busy: thread %d %s %q", e.PID, e.TID, how, e.Function)
}

// ErrTraced says that another tracer holds the process.
type ErrTraced struct {
	PID, Tracer int
	Comm        string
}

func (e ErrTraced) Error() string {
	return fmt.Sprintf("process %d is traced by %q (pid %d)", e.PID, e.Comm, e.Tracer)
}

// ErrMismatch says that the process does not hold the code which the patch
// was made for.
type ErrMismatch struct {
	PID      int
	Function string
	Offset   uint64
}

func (e ErrMismatch) Error() string {
	return fmt.Sprintf("process %d: code of %q differs at offset %#x from what the patch expects", e.PID, e.Function, e.Offset)
}

// ErrGone says that the process ended, or that its PID names another one now.
type ErrGone struct{ PID int }

func (e ErrGone) Error() string { return fmt.Sprintf("process %d is gone", e.PID) }

// ErrConflict says that another patch has hold of the function.
type ErrConflict struct {
	PID            int
	Function, UUID string
}

func (e ErrConflict) Error() string {
	return fmt.Sprintf("process %d: %q is in the hands of patch %s", e.PID, e.Function, e.UUID)
}

// ErrUnresolved says that a symbol has no address in the process.
type ErrUnresolved struct{ Symbol, Reason string }

func (e ErrUnresolved) Error() string {
	return fmt.Sprintf("cannot resolve symbol %q: %s", e.Symbol, e.Reason)
}

// ErrTimeout says what could not be had before the deadline.
type ErrTimeout struct {
	PID, TID int
	Waiting  string
	After    time.Duration
}

func (e ErrTimeout) Error() string {
	if e.TID != 0 {
		return fmt.Sprintf("process %d, thread %d: gave up after %v waiting for %s", e.PID, e.TID, e.After.Round(time.Millisecond), e.Waiting)
	}
	return fmt.Sprintf("process %d: gave up after %v waiting for %s", e.PID, e.After.Round(time.Millisecond), e.Waiting)
}

// ErrNoRoom says that no hole of the address space is near enough.
type ErrNoRoom struct {
	PID    int
	Bytes  uint64
	Target object.BuildID
}

func (e ErrNoRoom) Error() string {
	return fmt.Sprintf("process %d: no room for %d bytes within reach of %s", e.PID, e.Bytes, e.Target)
}

// ErrNoMemory says that a limit of the process's control groups leaves too
// little memory for the patch.
type ErrNoMemory struct {
	PID         int
	Bytes, Room uint64
	Group       string
}

func (e ErrNoMemory) Error() string {
	return fmt.Sprintf("process %d: the patch needs %d bytes of memory, and control group %s has only %d left; raise its limit and try again", e.PID, e.Bytes, e.Group, e.Room)
}
