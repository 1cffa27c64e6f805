package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/godbus/dbus/v5"

	"github.com/openeuler/syscare/state"
)

// ErrNoService says that no service is on the bus, nor can the bus start one.
var ErrNoService = errors.New("there is no SysCare service on the system bus")

// Client asks the service. Its moves are those of state.Manager.
type Client struct {
	conn *dbus.Conn
	// Interactive lets polkit ask the user for a password.
	Interactive bool
}

// Connect reaches the service on the system bus, which starts it if need be;
// ErrNoService if there is none.
func Connect(ctx context.Context) (*Client, error) {
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoService, err)
	}
	var running bool
	err = conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, Name).Store(&running)
	if err == nil && !running {
		var code uint32
		err = conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.StartServiceByName", 0, Name, uint32(0)).Store(&code)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrNoService, err), conn.Close())
	}
	return &Client{conn: conn}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// call calls a method, and lets polkit ask for a password if that is wanted:
// dbus.Object.Call would drop that flag.
func (c *Client) call(ctx context.Context, path dbus.ObjectPath, method string, args []any, results ...any) error {
	msg := &dbus.Message{Type: dbus.TypeMethodCall, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(Name),
		dbus.FieldPath:        dbus.MakeVariant(path),
		dbus.FieldInterface:   dbus.MakeVariant(method[:lastDot(method)]),
		dbus.FieldMember:      dbus.MakeVariant(method[lastDot(method)+1:]),
	}, Body: args}
	if len(args) > 0 {
		msg.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(args...))
	}
	if c.Interactive {
		msg.Flags |= dbus.FlagAllowInteractiveAuthorization
	}
	pending := c.conn.SendWithContext(ctx, msg, make(chan *dbus.Call, 1))
	if pending.Err != nil {
		return pending.Err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case done := <-pending.Done:
		if done.Err != nil {
			return fromBus(done.Err)
		}
		return done.Store(results...)
	}
}

func lastDot(method string) int {
	for i := len(method) - 1; i >= 0; i-- {
		if method[i] == '.' {
			return i
		}
	}
	return -1
}

// find gives the object of the patch that id names.
func (c *Client) find(ctx context.Context, id string) (path dbus.ObjectPath, err error) {
	err = c.call(ctx, Path, ManagerInterface+".Find", []any{id}, &path)
	return path, err
}

// Resolve tells the first problem with any of the identifiers.
func (c *Client) Resolve(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		if _, err := c.find(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// Move makes the move that the verb names on the patch that id names. If ctx ends
// the service takes back what it has begun.
func (c *Client) Move(ctx context.Context, verb state.Verb, id string, o state.MoveOptions) (state.Result, error) {
	method, ok := map[state.Verb]string{
		state.VerbApply: "Apply", state.VerbRemove: "Remove", state.VerbActive: "Activate",
		state.VerbDeactive: "Deactivate", state.VerbAccept: "Accept",
	}[verb]
	if !ok {
		return state.Result{}, fmt.Errorf("the service has no %s", verb)
	}
	path, err := c.find(ctx, id)
	if err != nil {
		return state.Result{}, err
	}
	var result moved
	done := make(chan error, 1)
	whole := context.WithoutCancel(ctx)
	go func() { done <- c.call(whole, path, PatchInterface+"."+method, []any{given(o)}, &result) }()
	select {
	case err = <-done:
		return result.result(), err
	case <-ctx.Done():
	}
	if err := c.call(whole, path, PatchInterface+".Cancel", nil); err != nil {
		return state.Result{}, errors.Join(ctx.Err(), err) // to leave the bus ends it, too
	}
	err = <-done
	return result.result(), err
}

// Save records the present state of all patches.
func (c *Client) Save(ctx context.Context) (int, error) {
	var n uint32
	err := c.call(ctx, Path, ManagerInterface+".Save", nil, &n)
	return int(n), err
}

// Restore brings back the saved states.
func (c *Client) Restore(ctx context.Context, acceptedOnly bool, o state.MoveOptions) ([]state.Result, error) {
	return c.all(ctx, "Restore", acceptedOnly, given(o))
}

// Rescan makes files, records and processes agree.
func (c *Client) Rescan(ctx context.Context, o state.MoveOptions) ([]state.Result, error) {
	return c.all(ctx, "Rescan", given(o))
}

func (c *Client) all(ctx context.Context, method string, args ...any) ([]state.Result, error) {
	var done []moved
	var failures []string
	if err := c.call(ctx, Path, ManagerInterface+"."+method, args, &done, &failures); err != nil {
		return nil, err
	}
	var results []state.Result
	for _, m := range done {
		results = append(results, m.result())
	}
	var errs []error
	for _, f := range failures {
		errs = append(errs, &RemoteError{Name: errorPrefix + "Failed", Message: f})
	}
	return results, errors.Join(errs...)
}

// List gives the status of all patches, as they were seen last.
func (c *Client) List(ctx context.Context) ([]state.Status, error) {
	var objects map[dbus.ObjectPath]map[string]dict
	if err := c.call(ctx, Path, objectManager+".GetManagedObjects", nil, &objects); err != nil {
		return nil, err
	}
	all := []state.Status{}
	for _, interfaces := range objects {
		if p, ok := interfaces[PatchInterface]; ok {
			all = append(all, toStatus(p))
		}
	}
	slices.SortFunc(all, func(a, b state.Status) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UUID, b.UUID)) })
	return all, nil
}

// Status tells the state of the patch that id names now.
func (c *Client) Status(ctx context.Context, id string) (state.Status, error) {
	path, err := c.find(ctx, id)
	if err != nil {
		return state.Status{}, err
	}
	var processes []processStatus
	if err := c.call(ctx, path, PatchInterface+".Processes", nil, &processes); err != nil {
		return state.Status{}, err
	}
	var p dict
	if err := c.call(ctx, path, properties+".GetAll", []any{PatchInterface}, &p); err != nil {
		return state.Status{}, err
	}
	st := toStatus(p)
	for _, s := range processes {
		st.Processes = append(st.Processes, state.ProcessStatus{
			Process: state.Process{PID: int(s.PID), Name: s.Name, Start: s.Start}, Entity: s.Entity, Patched: s.Patched, Loaded: s.Loaded,
			Unit: s.Unit, Container: s.Container,
		})
	}
	return st, nil
}

// toStatus reads the properties of a patch.
func toStatus(p dict) state.Status {
	return state.Status{
		UUID: get[string](p, "UUID"), Name: get[string](p, "FullName"), State: state.State(get[string](p, "State")),
		Recorded: state.State(get[string](p, "Recorded")), Saved: state.State(get[string](p, "Saved")),
		Running: int(get[uint32](p, "Running")), Patched: int(get[uint32](p, "Patched")),
		Notes: get[[]string](p, "Notes"), Problem: get[string](p, "Problem"), Processes: []state.ProcessStatus{},
	}
}

func get[T any](p dict, name string) T {
	value, _ := p[name].Value().(T)
	return value
}
