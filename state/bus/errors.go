package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"

	"github.com/openeuler/syscare/state"
)

// invalidArgs is the standard's name for arguments that make no sense.
const invalidArgs = "org.freedesktop.DBus.Error.InvalidArgs"

// kinds are the errors by name. What comes first counts; the first kind of a name
// is what the client makes of it.
var kinds = []struct {
	name string
	kind error
}{
	{"NotFound", state.ErrNotFound},
	{"Busy", state.ErrBusy},
	{"Busy", state.ErrLocked},
	{"Conflict", state.ErrConflict},
	{"Corrupt", state.ErrCorrupt}, // which leaves no move but remove: ErrState, too
	{"Corrupt", state.ErrInsecure},
	{"Refused", state.ErrState},
	{"Refused", state.ErrMismatch},
	{"Refused", state.ErrSuspended},
	{"Refused", state.ErrHook},
	{"Refused", state.ErrBlocked},
	{"Refused", state.ErrUnsupported},
	{"NotAuthorized", state.ErrPermission},
	{"Cancelled", context.Canceled},
}

// toBus names an error. nil stays nil.
func toBus(err error) *dbus.Error {
	if err == nil {
		return nil
	}
	name := "Failed"
	if errors.Is(err, state.ErrAmbiguous) {
		return &dbus.Error{Name: invalidArgs, Body: []any{clean(err.Error())}}
	}
	for _, k := range kinds {
		if errors.Is(err, k.kind) {
			name = k.name
			break
		}
	}
	return &dbus.Error{Name: errorPrefix + name, Body: []any{clean(err.Error())}}
}

// clean makes text fit for the bus, which takes valid UTF-8 only.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "?")
}

func invalid(format string, args ...any) *dbus.Error {
	return &dbus.Error{Name: invalidArgs, Body: []any{fmt.Sprintf(format, args...)}}
}

// RemoteError is an error that the service has answered with. errors.Is sees its
// kind.
type RemoteError struct {
	Name    string // on the bus
	Message string
	kind    error
}

func (e *RemoteError) Error() string { return e.Message }
func (e *RemoteError) Unwrap() error { return e.kind }

// fromBus is the reverse of toBus. Errors of the bus itself stay what they are.
func fromBus(err error) error {
	var remote dbus.Error
	if !errors.As(err, &remote) {
		return err
	}
	e := &RemoteError{Name: remote.Name, Message: remote.Error()}
	if remote.Name == invalidArgs {
		e.kind = state.ErrAmbiguous
		return e
	}
	name, ours := strings.CutPrefix(remote.Name, errorPrefix)
	if !ours {
		return err
	}
	for _, k := range kinds {
		if k.name == name {
			e.kind = k.kind
			break
		}
	}
	return e
}
