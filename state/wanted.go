package state

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/openeuler/syscare/state/metadata"
)

// Wanted is an entity that every process of its target is to run: its patch is
// active.
type Wanted struct {
	Patch  string // full name
	UUID   string // of the patch
	Entity Entity
	Path   string // where the target is installed, "" if unknown
	Since  time.Time
}

// Wanted lists the entities of active patches, in the order of activation. A
// patch whose files cannot be loaded any more is left out and in the error.
func (m *Manager) Wanted(ctx context.Context) ([]Wanted, error) {
	v, err := m.look()
	if err != nil {
		return nil, err
	}
	var out []Wanted
	var errs []error
	for _, p := range v.inOrder() {
		rec := v.store.Patches[p.UUID]
		if !rec.wanted(m.boot) || p.Meta != nil && p.Meta.Type == metadata.KernelPatch {
			continue
		}
		entities, err := v.load(p)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for i, e := range entities {
			out = append(out, Wanted{p.FullName(), p.UUID, e, p.Meta.Entities[i].Path, rec.When})
		}
	}
	return out, errors.Join(append(errs, ctx.Err())...)
}

// wanted reports whether processes that start are to have the patch. One whose
// removal has begun is not wanted any more: the removal looks for the processes
// that have it only after that is recorded.
func (r *record) wanted(boot string) bool {
	leaving := r.Pending != nil && r.Pending.BootID == boot && r.Pending.To.presence() < Active
	return r.BootID == boot && r.State.presence() == Active && !leaving
}

// WantedNow reads which patches are wanted, by UUID, and nothing else: it is for
// whoever has just given a process what was wanted before.
func (m *Manager) WantedNow() (map[string]bool, error) {
	store, lost, err := readStore(m.root)
	if err := errors.Join(lost, err); err != nil {
		return nil, err
	}
	now := map[string]bool{}
	for uuid, rec := range store.Patches {
		if rec.wanted(m.boot) {
			now[uuid] = true
		}
	}
	return now, nil
}

// Suspend switches a patch off in all processes and marks it: only with Force
// is it switched on again. The reason is for people.
func (m *Manager) Suspend(ctx context.Context, id, reason string, o MoveOptions) (Result, error) {
	v, unlock, err := m.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	p, err := v.resolve(id)
	if err != nil {
		return Result{}, err
	}
	rec := v.recordOf(p)
	rec.Suspended = reason
	from := v.status(ctx, p).State
	if from.presence() < Active { // somebody was faster
		return Result{UUID: p.UUID, Name: v.nameOf(p), Verb: VerbDeactive, From: from, To: from}, v.store.write(m.root)
	}
	o.BestEffort = true // each process that is safe again counts
	res, err := v.move(ctx, p, pending{Verb: VerbDeactive, From: from, To: Deactived}, o)
	m.log.Error("patch suspended", "patch", v.nameOf(p), "uuid", p.UUID, "reason", reason, "error", err)
	return res, err
}

// checkSuspended refuses to bring back what was suspended, unless forced.
func (v *view) checkSuspended(p *Installed, force bool) error {
	rec := v.store.Patches[p.UUID]
	if rec == nil || rec.Suspended == "" {
		return nil
	}
	if force {
		return nil // complete ends the suspension
	}
	return fmt.Errorf("%s: %w: %s; --force switches it on nevertheless", v.nameOf(p), ErrSuspended, rec.Suspended)
}
