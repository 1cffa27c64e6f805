package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// rebuild replaces a store that was lost: the old file is set aside, and a
// record is made of each patch: of those that processes carry as active.
func (v *view) rebuild(ctx context.Context) error {
	aside, err := setAside(v.m.root, time.Now())
	if err != nil {
		return fmt.Errorf("cannot set the damaged record aside: %w", err)
	}
	v.m.log.Error("the record of patch states was damaged; saved and accepted states are lost, the rest is read from the processes",
		"error", v.lost, "set_aside", aside)
	v.lost = nil
	for _, p := range v.all {
		if st := v.status(ctx, p); st.State.presence() > Absent {
			v.complete(p, pending{From: NotApplied, To: st.State}, "recovered")
		} else {
			v.recordOf(p) // it has not just been installed
		}
	}
	return v.store.write(v.m.root)
}

// settle brings every move that was interrupted to an end. A move that had
// reached no process is forgotten; one that had is finished, or taken back if
// that fails. Where no process tells, patches are taken out rather than in.
func (v *view) settle(ctx context.Context) error {
	changed := false
	for _, id := range slices.Sorted(maps.Keys(v.store.Patches)) {
		rec := v.store.Patches[id]
		if rec.Pending == nil {
			continue
		}
		p := v.byUUID(id)
		intent := *rec.Pending
		v.m.log.Warn("settling an interrupted move", "patch", rec.Name, "verb", intent.Verb, "from", intent.From, "to", intent.To)
		v.repair(ctx, p)
		old := v.byUUID(intent.Replaces)
		finished := v.finish(ctx, p, old, intent)
		if finished {
			v.complete(p, intent, cmp.Or(rec.Who, "recovered"))
		}
		switch {
		case old == nil || intent.BootID != v.m.boot:
		case finished:
			if err := v.retire(ctx, old, MoveOptions{Who: "recovered"}); err != nil {
				v.m.log.Error("a version that was replaced could not be taken out", "patch", v.nameOf(old), "error", err)
			}
		default:
			v.reinstate(ctx, old)
		}
		rec.Pending = nil
		v.forget()
		changed = true
	}
	if !changed {
		return ctx.Err()
	}
	return errors.Join(ctx.Err(), v.store.write(v.m.root))
}

// finish reports whether an interrupted move has come to its end.
func (v *view) finish(ctx context.Context, p, old *Installed, intent pending) bool {
	raise := intent.To.presence() > intent.From.presence()
	if intent.BootID != v.m.boot {
		return !raise && intent.To.presence() < intent.From.presence()
	}
	if intent.To.presence() == intent.From.presence() {
		return false
	}
	if reached, all := v.reached(ctx, p, intent.To.presence(), raise); !reached && all > 0 || raise && all == 0 {
		return false
	}
	entities := v.removable(p)
	if raise {
		loaded, err := v.load(p)
		if err != nil {
			v.m.log.Error("an interrupted move cannot be finished", "patch", p.FullName(), "error", err)
			v.m.bring(ctx, change{entities: entities, names: v.names(p), want: intent.From.presence(), bestEffort: true})
			return false
		}
		entities = loaded
		if old != nil {
			v.replacing(entities, old)
		}
	}
	c := change{entities: entities, names: v.names(p), want: intent.To.presence(), raise: raise}
	out := v.m.bring(ctx, c)
	if !out.failed() {
		return true
	}
	v.m.log.Error("an interrupted move cannot be finished", "patch", p.FullName(),
		"error", errors.Join(out.err, &MoveError{p.FullName(), intent.Verb, out.failures, out.stuck}))
	if raise {
		c.want, c.raise, c.bestEffort = intent.From.presence(), false, true
		v.m.bring(ctx, c)
	}
	return false
}

// reached reports whether a process is where a move leads, and how many
// processes there are. A process that started since carries nothing and looks
// like one that was taken down: in doubt a removal is finished.
func (v *view) reached(ctx context.Context, p *Installed, want Presence, raise bool) (reached bool, all int) {
	for _, e := range v.entities(p) {
		for _, proc := range v.processes(ctx, e.BuildID).procs {
			all++
			has := proc.carries[e.UUID]
			reached = reached || raise && has >= want || !raise && has <= want
		}
	}
	return reached, all
}

// repair asks the engine to mend every process that runs a target of p.
func (v *view) repair(ctx context.Context, p *Installed) {
	v.forget()
	for _, e := range v.entities(p) {
		for _, proc := range v.processes(ctx, e.BuildID).procs {
			if err := v.m.engine.Repair(ctx, proc.Process); err != nil && !errors.Is(err, ErrGone) {
				v.m.log.Warn("a process could not be mended", "pid", proc.PID, "name", proc.Name, "error", err)
			}
		}
	}
	v.forget()
}

func (v *view) byUUID(id string) *Installed {
	for _, p := range v.all {
		if p.UUID == id {
			return p
		}
	}
	return v.orphan(id)
}
