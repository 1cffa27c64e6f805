package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/patchobject"
	"github.com/openeuler/syscare/state"
)

// usageError is a command line that makes no sense.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// exitCode maps an error to the codes that doc.go lists. Of several errors
// the first kind found in this order counts.
func exitCode(err error) int {
	var usage *usageError
	var refusal *diff.Refusal
	var unreplayable *build.NotReplayableError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage), errors.Is(err, state.ErrAmbiguous):
		return 2
	case errors.Is(err, state.ErrNotFound), errors.Is(err, diff.ErrNoChange):
		return 3
	case errors.Is(err, state.ErrLocked), errors.Is(err, state.ErrBusy):
		return 4
	case errors.As(err, &refusal), errors.As(err, &unreplayable), isAny(err, state.ErrState, state.ErrInsecure, state.ErrCorrupt, state.ErrConflict, state.ErrSuspended, state.ErrBlocked,
		state.ErrMismatch, state.ErrHook, state.ErrUnsupported, patchobject.ErrCorrupt):
		return 5
	default:
		return 1
	}
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

// printError writes "Error: …" and, where errors wrap others, the causes.
func printError(w io.Writer, err error) {
	if errors.Is(err, context.Canceled) {
		err = fmt.Errorf("interrupted: %w", err)
	}
	head, causes := explain(err)
	fmt.Fprintf(w, "Error: %s\n", head)
	if len(causes) > 0 {
		fmt.Fprintf(w, "\nCaused by:\n")
		for _, c := range causes {
			fmt.Fprintf(w, "    %s\n", strings.ReplaceAll(c, "\n", "\n    "))
		}
	}
	var logged interface{ LogPath() string }
	if errors.As(err, &logged) && logged.LogPath() != "" {
		fmt.Fprintf(w, "For more information, please check %q\n", logged.LogPath())
	}
}

// explain splits err into what failed and why.
func explain(err error) (head string, causes []string) {
	var move *state.MoveError
	if errors.As(err, &move) && move.Error() == err.Error() {
		return explainMove(move)
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		if errs := many.Unwrap(); len(errs) > 1 && isJoined(err, errs) {
			for _, e := range errs {
				causes = append(causes, e.Error())
			}
			return fmt.Sprintf("%d failures", len(errs)), causes
		}
	}
	var path *fs.PathError
	if errors.As(err, &path) && path.Error() == err.Error() {
		return err.Error(), nil
	}
	inner := errors.Unwrap(err)
	if inner == nil {
		return err.Error(), nil
	}
	prefix, ok := strings.CutSuffix(err.Error(), ": "+inner.Error())
	if !ok {
		return err.Error(), nil
	}
	head, causes = explain(inner)
	return prefix, append([]string{head}, causes...)
}

// isJoined reports whether err is errors.Join of errs.
func isJoined(err error, errs []error) bool { return err.Error() == errors.Join(errs...).Error() }

func explainMove(e *state.MoveError) (head string, causes []string) {
	head = fmt.Sprintf("cannot %s %s; all processes are as they were before", e.Verb, e.Patch)
	if len(e.Stuck) > 0 {
		head = fmt.Sprintf("cannot %s %s, and not all processes could be reverted; run `syscare rescan` when they can be reached", e.Verb, e.Patch)
	}
	for _, f := range e.Failures {
		causes = append(causes, f.Error())
	}
	for _, f := range e.Stuck {
		causes = append(causes, "could not be reverted: "+f.Error())
	}
	return head, causes
}
