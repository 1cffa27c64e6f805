package bus

import (
	"context"
	"errors"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"
	"github.com/godbus/dbus/v5/prop"

	"github.com/openeuler/syscare/state"
)

// patch is the object of one patch.
type patch struct {
	s     *Service
	uuid  string
	props *propertySet
}

// newPatch puts a patch on the bus.
func (s *Service) newPatch(uuid string, now map[string]any) (*patch, error) {
	p := &patch{s: s, uuid: uuid}
	path := PatchPath(uuid)
	var err error
	if p.props, err = exportProperties(s.conn, path, PatchInterface, now); err != nil {
		return nil, err
	}
	node := introspect.Node{Interfaces: []introspect.Interface{introspect.IntrospectData, prop.IntrospectData, s.node.Interfaces[1]}}
	return p, errors.Join(
		s.conn.ExportMethodTable(p.methods(), path, PatchInterface),
		s.conn.Export(introspect.NewIntrospectable(&node), path, introspection),
	)
}

func (p *patch) methods() map[string]any {
	return map[string]any{
		"Apply": p.mover((*state.Manager).Apply), "Remove": p.mover((*state.Manager).Remove),
		"Activate": p.mover((*state.Manager).Activate), "Deactivate": p.mover((*state.Manager).Deactivate),
		"Accept": p.mover((*state.Manager).Accept),
		"Check":  p.check, "Cancel": p.cancel, "Processes": p.processes,
	}
}

// remove takes the object off the bus.
func (p *patch) remove() error {
	path := PatchPath(p.uuid)
	var errs []error
	for _, iface := range []string{PatchInterface, properties, introspection} {
		errs = append(errs, p.s.conn.Export(nil, path, iface))
	}
	return errors.Join(append(errs, p.s.conn.Emit(Path, objectManager+".InterfacesRemoved", path, []string{PatchInterface}))...)
}

func (p *patch) mover(move func(*state.Manager, context.Context, string, state.MoveOptions) (state.Result, error)) any {
	return func(msg dbus.Message, given dict) (moved, *dbus.Error) {
		asked, bad := options(given)
		if bad != nil {
			return moved{}, bad
		}
		var result state.Result
		err := p.s.change(msg, p.uuid, func(ctx context.Context, o state.MoveOptions) (err error) {
			asked.Who, asked.Progress = o.Who, o.Progress
			result, err = move(p.s.manager, ctx, p.uuid, asked)
			return err
		})
		return toMoved(result), err
	}
}

func (p *patch) check() *dbus.Error {
	p.s.touch()
	return toBus(p.s.manager.Check(context.Background(), p.uuid))
}

// cancel ends the moves of this patch. Who may begin one may end one.
func (p *patch) cancel(msg dbus.Message) *dbus.Error {
	p.s.touch()
	if err := p.s.authorize(context.Background(), &msg); err != nil {
		return toBus(err)
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	for c := range p.s.calls {
		if c.patch == p.uuid {
			c.cancel()
		}
	}
	return nil
}

func (p *patch) processes() ([]processStatus, *dbus.Error) {
	p.s.touch()
	ctx := context.Background()
	st, err := p.s.manager.Status(ctx, p.uuid)
	if err != nil {
		return nil, toBus(err)
	}
	if err := p.s.show(st); err != nil {
		return nil, toBus(err)
	}
	return toProcesses(st), nil
}
