package state

import (
	"errors"
	"fmt"
	"strings"
)

// What can go wrong, for errors.Is. The messages that wrap these say which
// patch or process it is about and what to do next.
var (
	// ErrNotFound: no installed patch has this identifier.
	ErrNotFound = errors.New("no such patch")
	// ErrAmbiguous: several installed patches have this identifier.
	ErrAmbiguous = errors.New("several patches match")
	// ErrLocked: another SysCare command is changing patches.
	ErrLocked = errors.New("another SysCare command is at work")
	// ErrState: the state machine has no such move.
	ErrState = errors.New("not possible in this state")
	// ErrInsecure: a file or directory could have been changed by others.
	ErrInsecure = errors.New("not safe to use")
	// ErrCorrupt: a file is not what its digest or format says.
	ErrCorrupt = errors.New("damaged")
	// ErrSuspended: the patch was switched off because its code crashed.
	ErrSuspended = errors.New("the patch is suspended")
	// ErrBlocked: an administrator does not want the patch.
	ErrBlocked = errors.New("the patch is blocked")
	// ErrConflict: another patch already replaces the same code.
	ErrConflict = errors.New("conflict with another patch")
	// ErrMismatch: a program is not the one that the patch was made for.
	ErrMismatch = errors.New("the patch does not fit")
	// ErrUnsupported: this build cannot handle that kind of patch.
	ErrUnsupported = errors.New("not supported")
	// ErrBusy: threads kept executing the code to be changed.
	ErrBusy = errors.New("the code to be changed is in use")
	// ErrHook: a function of the patch itself refused a process.
	ErrHook = errors.New("the patch refuses the process")
	// ErrGone: a process ended. Moves do not count it as a failure.
	ErrGone = errors.New("the process has ended")
	// ErrPermission: root is needed.
	ErrPermission = errors.New("permission denied")
)

// ProcessError is the failure of one process.
type ProcessError struct {
	Process Process
	Err     error
}

func (e *ProcessError) Error() string {
	return fmt.Sprintf("process %d (%s): %v", e.Process.PID, e.Process.Name, e.Err)
}

func (e *ProcessError) Unwrap() error { return e.Err }

// MoveError is the failure of a move: which processes failed and why, and
// which of the others could not be brought back.
type MoveError struct {
	Patch    string // full name
	Verb     Verb
	Failures []*ProcessError
	Stuck    []*ProcessError // could not be reverted
}

func (e *MoveError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cannot %s %s: ", e.Verb, e.Patch)
	for i, f := range e.Failures {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.Error())
	}
	if len(e.Stuck) == 0 {
		b.WriteString("; all processes are as they were before")
		return b.String()
	}
	for _, f := range e.Stuck {
		fmt.Fprintf(&b, "; could not be reverted: %v", f)
	}
	b.WriteString("; run `syscare rescan` when these processes can be reached")
	return b.String()
}

// Unwrap makes errors.Is see the reason of each process.
func (e *MoveError) Unwrap() []error {
	var errs []error
	for _, f := range append(append([]*ProcessError{}, e.Failures...), e.Stuck...) {
		errs = append(errs, f)
	}
	return errs
}
