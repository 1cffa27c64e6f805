package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// inForce lists the active patches whose place p takes, in order of activation:
// those that are no longer installed first.
func (v *view) inForce(ctx context.Context, p *Installed) []*Installed {
	var found []*Installed
	for _, id := range slices.Sorted(maps.Keys(v.store.Patches)) {
		if other := v.orphan(id); other != nil && v.orphanOf(p, v.store.Patches[id]) && v.status(ctx, other).State.presence() == Active {
			found = append(found, other)
		}
	}
	for _, other := range v.inOrder() {
		if other.UUID != p.UUID && p.Meta != nil && other.Meta != nil && supersedes(p.Meta, other.Meta) &&
			v.status(ctx, other).State.presence() == Active {
			found = append(found, other)
		}
	}
	return found
}

// orphanOf reports whether the record is of a version of p. Nothing but its name
// is left of it.
func (v *view) orphanOf(p *Installed, rec *record) bool {
	if p.Meta == nil {
		return false
	}
	versionRelease, ok := strings.CutPrefix(rec.Name, p.Meta.Target.FullName()+"/"+p.Meta.Name+"-")
	return ok && strings.Count(versionRelease, "-") == 1
}

// replacing lets each entity take the place of that of old for the same file, in
// the same stop of a process.
func (v *view) replacing(entities []Entity, old *Installed) {
	theirs := v.removable(old)
	for i, e := range entities {
		for j, o := range theirs {
			if o.BuildID == e.BuildID {
				entities[i].Retires = &theirs[j]
			}
		}
	}
}

// retire ends the life of a version that another one has replaced: it takes out
// what of it the new one had nothing to put in the place of.
func (v *view) retire(ctx context.Context, old *Installed, o MoveOptions) error {
	from := v.status(ctx, old).State
	out := v.m.bring(ctx, change{entities: v.removable(old), names: v.names(old), want: Absent, tuning: Tuning{o.Timeout, o.Force}})
	v.forget()
	if out.failed() {
		return errors.Join(out.err, &MoveError{v.nameOf(old), VerbRemove, out.failures, out.stuck})
	}
	v.complete(old, pending{Verb: VerbRemove, From: from, To: NotApplied}, o.Who)
	return nil
}

// retired is retire for a move that has succeeded already: the user is told of
// what did not work.
func (v *view) retired(ctx context.Context, old *Installed, res Result, o MoveOptions) string {
	if len(res.Failures) > 0 {
		return fmt.Sprintf("the processes that it could not reach keep %s", v.nameOf(old))
	}
	accepted := v.store.Patches[old.UUID].State == Accepted
	if err := v.retire(ctx, old, o); err != nil {
		return fmt.Sprintf("the version that it replaces could not be taken out everywhere; `syscare remove %s` tries again: %v", old.UUID, err)
	}
	if accepted {
		return fmt.Sprintf("it replaces %s, which was accepted; accept this one, too, if it is to come back after a boot", v.nameOf(old))
	}
	return fmt.Sprintf("it replaces %s", v.nameOf(old))
}

// reinstate brings a version back whose replacement did not come to its end.
func (v *view) reinstate(ctx context.Context, old *Installed) {
	entities, err := v.load(old)
	if err == nil {
		out := v.m.bring(ctx, change{entities: entities, names: v.names(old), want: Active, raise: true, bestEffort: true})
		if out.failed() {
			err = errors.Join(out.err, &MoveError{v.nameOf(old), VerbApply, out.failures, out.stuck})
		}
	}
	if err != nil {
		v.m.log.Error("a patch could not be brought back", "patch", v.nameOf(old), "error", err)
	}
	v.forget()
}
