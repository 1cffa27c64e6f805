package diff

import (
	"errors"
	"fmt"
)

// ErrNoChange says that the patched objects do the same as the original ones.
var ErrNoChange = errors.New("no functional change: nothing that the compiler generates code or data for differs")

// Refusal is a change that cannot be patched correctly into a live process.
type Refusal struct {
	Source   string // source file of the unit
	Function string // function or datum concerned, "" if it is the whole unit
	Reason   string
}

// Error names the source, the function and the reason.
func (r *Refusal) Error() string {
	if r.Function == "" {
		return fmt.Sprintf("%s: %s", r.Source, r.Reason)
	}
	return fmt.Sprintf("%s: %s: %s", r.Source, r.Function, r.Reason)
}

func (u *pair) refuse(function, format string, args ...any) error {
	return &Refusal{Source: u.source, Function: function, Reason: fmt.Sprintf(format, args...)}
}
