package bus

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"
	"github.com/godbus/dbus/v5/prop"

	"github.com/openeuler/syscare/packaging"
	"github.com/openeuler/syscare/state"
)

// Options configure a Service.
type Options struct {
	Conn    *dbus.Conn // to the bus; the service does not close it
	Manager *state.Manager
	Root    string // as that of the manager
	Version string
	Logger  *slog.Logger
	// Changed is called after a call that may have changed something, before it is
	// answered; may be nil.
	Changed func(context.Context)
}

// Service stands on the bus.
type Service struct {
	conn    *dbus.Conn
	manager *state.Manager
	root    string
	log     *slog.Logger
	changed func(context.Context)
	node    introspect.Node

	mu      sync.Mutex
	patches map[string]*patch // by UUID
	calls   map[*call]bool    // that change something, under way
	used    time.Time         // when the last call came or ended
	refresh sync.Mutex        // one look at all patches at a time
}

// call is a call that changes something.
type call struct {
	sender string
	patch  string // UUID, "" for all
	cancel context.CancelFunc
}

// Serve takes the name on the bus and answers until ctx ends or the bus goes
// away. ready is called when it answers; may be nil.
func Serve(ctx context.Context, o Options, ready func(*Service)) error {
	s := &Service{
		conn: o.Conn, manager: o.Manager, root: o.Root, log: o.Logger, changed: o.Changed,
		patches: map[string]*patch{}, calls: map[*call]bool{}, used: time.Now(),
	}
	if err := xml.Unmarshal([]byte(packaging.Interface), &s.node); err != nil {
		return fmt.Errorf("introspection data: %w", err)
	}
	if err := s.export(o.Version); err != nil {
		return fmt.Errorf("export to the bus: %w", err)
	}
	changed, err := state.Changes(ctx, o.Root)
	if err != nil {
		return err
	}
	<-changed
	if err := s.Refresh(ctx); err != nil {
		s.log.Warn("not all patches can be shown", "error", err)
	}
	left := make(chan *dbus.Signal, 1000)
	s.conn.Signal(left)
	defer s.conn.RemoveSignal(left)
	err = s.conn.AddMatchSignalContext(ctx, dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(2, ""))
	if err != nil {
		return fmt.Errorf("watch who leaves the bus: %w", err)
	}
	reply, err := s.conn.RequestName(Name, dbus.NameFlagDoNotQueue)
	if err == nil && reply != dbus.RequestNameReplyPrimaryOwner {
		err = errors.New("somebody else has it")
	}
	if err != nil {
		return fmt.Errorf("take the name %s on the bus: %w", Name, err)
	}
	if ready != nil {
		ready(s)
	}
	for {
		select {
		case <-ctx.Done():
			s.end()
			return nil
		case <-s.conn.Context().Done():
			s.end()
			return errors.New("the bus has gone away")
		case <-changed:
			if err := s.Refresh(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("not all patches can be shown", "error", err)
			}
		case signal := <-left:
			s.gone(signal)
		}
	}
}

// endPatience is what moves that are under way have to come to their end.
const endPatience = 10 * time.Second

// end waits until what is under way has come to its end, or is taken back because
// that takes too long.
func (s *Service) end() {
	_, _ = s.conn.ReleaseName(Name)
	began := time.Now()
	for {
		s.mu.Lock()
		n := len(s.calls)
		for c := range s.calls {
			if time.Since(began) > endPatience {
				c.cancel()
			}
		}
		s.mu.Unlock()
		if n == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// gone cancels the calls of a client that has left the bus.
func (s *Service) gone(signal *dbus.Signal) {
	if signal == nil || len(signal.Body) != 3 {
		return
	}
	name, _ := signal.Body[0].(string)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.calls {
		if c.sender == name {
			c.cancel()
		}
	}
}

// Idle is since when nobody has called; zero while a call is under way.
func (s *Service) Idle() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) > 0 {
		return time.Time{}
	}
	return s.used
}

func (s *Service) export(version string) error {
	_, err := exportProperties(s.conn, Path, ManagerInterface, map[string]any{"Version": version})
	err = errors.Join(err,
		s.conn.ExportMethodTable(s.methods(), Path, ManagerInterface),
		s.conn.ExportMethodTable(map[string]any{"GetManagedObjects": s.managed}, Path, objectManager),
	)
	// The paths above as well, so that the tree can be walked.
	for _, path := range []dbus.ObjectPath{"/", "/org", "/org/openeuler", Path, Path + "/patch"} {
		err = errors.Join(err, s.conn.ExportMethodTable(map[string]any{"Introspect": s.walk}, path, introspection))
	}
	return err
}

func (s *Service) methods() map[string]any {
	return map[string]any{"Find": s.find, "Save": s.save, "Restore": s.restore, "Rescan": s.rescan}
}

// walk introspects the objects that are not patches.
func (s *Service) walk(msg dbus.Message) (string, *dbus.Error) {
	path, _ := msg.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	node := introspect.Node{Interfaces: []introspect.Interface{introspect.IntrospectData}}
	child := func(name string) { node.Children = append(node.Children, introspect.Node{Name: name}) }
	switch path {
	case "/":
		child("org")
	case "/org":
		child("openeuler")
	case "/org/openeuler":
		child("SysCare1")
	case Path:
		node.Interfaces = append(node.Interfaces, prop.IntrospectData, managerOfObjects, s.node.Interfaces[0])
		child("patch")
	case Path + "/patch":
		s.mu.Lock()
		for _, uuid := range slices.Sorted(maps.Keys(s.patches)) {
			child(string(PatchPath(uuid)[len(patchesPath):]))
		}
		s.mu.Unlock()
	}
	return string(introspect.NewIntrospectable(&node)), nil
}

// managerOfObjects describes the standard interface.
var managerOfObjects = introspect.Interface{
	Name:    objectManager,
	Methods: []introspect.Method{{Name: "GetManagedObjects", Args: []introspect.Arg{{Name: "objects", Type: "a{oa{sa{sv}}}", Direction: "out"}}}},
	Signals: []introspect.Signal{
		{Name: "InterfacesAdded", Args: []introspect.Arg{{Name: "object", Type: "o"}, {Name: "interfaces", Type: "a{sa{sv}}"}}},
		{Name: "InterfacesRemoved", Args: []introspect.Arg{{Name: "object", Type: "o"}, {Name: "interfaces", Type: "as"}}},
	},
}

// managed is GetManagedObjects.
func (s *Service) managed() (map[dbus.ObjectPath]map[string]dict, *dbus.Error) {
	s.touch()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[dbus.ObjectPath]map[string]dict{}
	for uuid, p := range s.patches {
		all[PatchPath(uuid)] = p.props.all()
	}
	return all, nil
}

func (s *Service) touch() {
	s.mu.Lock()
	s.used = time.Now()
	s.mu.Unlock()
}

// Refresh looks at all patches and tells the bus what has changed.
func (s *Service) Refresh(ctx context.Context) error {
	s.refresh.Lock()
	defer s.refresh.Unlock()
	all, err := s.manager.List(ctx)
	if err != nil {
		return err
	}
	var errs []error
	seen := map[string]bool{}
	for _, st := range all {
		seen[st.UUID] = true
		errs = append(errs, s.show(st))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for uuid, p := range s.patches {
		if !seen[uuid] {
			delete(s.patches, uuid)
			errs = append(errs, p.remove())
		}
	}
	return errors.Join(errs...)
}

// show makes the object of a patch say what its status says.
func (s *Service) show(st state.Status) error {
	now := patchProperties(st)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.patches[st.UUID]; p != nil {
		return p.props.update(now)
	}
	p, err := s.newPatch(st.UUID, now)
	if err != nil {
		return err
	}
	s.patches[st.UUID] = p
	return s.conn.Emit(Path, objectManager+".InterfacesAdded", PatchPath(st.UUID), p.props.all())
}

// change runs a call that changes something: authorised, cancelled when its
// client leaves, and with the bus told of what came of it.
func (s *Service) change(msg dbus.Message, patch string, f func(ctx context.Context, o state.MoveOptions) error) *dbus.Error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	sender, _ := msg.Headers[dbus.FieldSender].Value().(string)
	c := &call{sender, patch, cancel}
	s.mu.Lock()
	s.calls[c] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.calls, c)
		s.used = time.Now()
		s.mu.Unlock()
	}()
	if err := s.authorize(ctx, &msg); err != nil {
		return toBus(err)
	}
	defer s.inhibit(ctx)()
	o := state.MoveOptions{Who: s.who(ctx, sender)}
	if patch != "" {
		o.Progress = func(done, total int) {
			_ = s.conn.Emit(Path, ManagerInterface+".Progress", PatchPath(patch), uint32(done), uint32(total))
		}
	}
	err := f(ctx, o)
	if s.changed != nil {
		s.changed(context.Background())
	}
	if refreshErr := s.Refresh(context.Background()); refreshErr != nil {
		s.log.Warn("not all patches can be shown", "error", refreshErr)
	}
	return toBus(err)
}

// who names the caller for the record.
func (s *Service) who(ctx context.Context, sender string) string {
	var uid uint32
	if s.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetConnectionUnixUser", 0, sender).Store(&uid) != nil {
		return sender
	}
	return fmt.Sprintf("user %d", uid)
}

// signed refuses arguments of other types than those of the interface: the library
// would make what it can of them.
func signed(msg dbus.Message, want string) *dbus.Error {
	got, _ := msg.Headers[dbus.FieldSignature].Value().(dbus.Signature)
	if got.String() != want {
		return invalid("the arguments are of types %q, not %q", got.String(), want)
	}
	return nil
}

// maxIdentifier bounds the name of a patch.
const maxIdentifier = 4096

func (s *Service) find(msg dbus.Message, identifier string) (dbus.ObjectPath, *dbus.Error) {
	s.touch()
	if err := signed(msg, "s"); err != nil {
		return "", err
	}
	if len(identifier) > maxIdentifier {
		return "", invalid("the identifier has %d bytes; %d are enough", len(identifier), maxIdentifier)
	}
	uuid, err := s.manager.Identify(identifier)
	if err != nil {
		return "", toBus(err)
	}
	return PatchPath(uuid), nil
}

func (s *Service) save(msg dbus.Message) (n uint32, _ *dbus.Error) {
	err := s.change(msg, "", func(ctx context.Context, _ state.MoveOptions) error {
		saved, err := s.manager.Save(ctx)
		n = uint32(saved)
		return err
	})
	return n, err
}

func (s *Service) restore(msg dbus.Message, acceptedOnly bool, given dict) ([]moved, []string, *dbus.Error) {
	if err := signed(msg, "ba{sv}"); err != nil {
		return nil, nil, err
	}
	return s.all(msg, given, func(ctx context.Context, o state.MoveOptions) ([]state.Result, error) {
		return s.manager.Restore(ctx, acceptedOnly, o)
	})
}

func (s *Service) rescan(msg dbus.Message, given dict) ([]moved, []string, *dbus.Error) {
	return s.all(msg, given, s.manager.Rescan)
}

// all runs a call that moves several patches: those that fail are told of beside
// the others.
func (s *Service) all(msg dbus.Message, given dict, f func(context.Context, state.MoveOptions) ([]state.Result, error)) ([]moved, []string, *dbus.Error) {
	asked, bad := options(given)
	if bad != nil {
		return nil, nil, bad
	}
	results, failures := []moved{}, []string{}
	err := s.change(msg, "", func(ctx context.Context, o state.MoveOptions) error {
		asked.Who = o.Who
		done, err := f(ctx, asked)
		for _, r := range done {
			results = append(results, toMoved(r))
		}
		if err == nil || ctx.Err() != nil || errors.Is(err, state.ErrLocked) {
			return err
		}
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range many.Unwrap() {
				failures = append(failures, clean(e.Error()))
			}
			return nil
		}
		return err
	})
	return results, failures, err
}
