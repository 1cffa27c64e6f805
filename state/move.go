package state

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// MoveOptions are what a user can say about a move.
type MoveOptions struct {
	Timeout    time.Duration // for busy code, per process; 0: the engine's default
	Force      bool          // allow no target, and stacks in use
	BestEffort bool          // keep what worked instead of all or nothing
	Who        string        // who asked, for the record
	// Progress is told how many processes are done, of those known so far; may be
	// nil. Calls come one after the other.
	Progress func(done, total int)
}

// Result is what a move did.
type Result struct {
	UUID     string          `json:"uuid"`
	Name     string          `json:"name"` // full name
	Verb     Verb            `json:"verb"`
	From     State           `json:"from"`
	To       State           `json:"to"`
	Reports  []Report        `json:"processes"`
	Failures []*ProcessError `json:"-"`               // of BestEffort
	Notes    []string        `json:"notes,omitempty"` // what the user should know of
}

// Apply loads and activates the patch that id names.
func (m *Manager) Apply(ctx context.Context, id string, o MoveOptions) (Result, error) {
	return m.Move(ctx, VerbApply, id, o)
}

// Remove takes the patch that id names out of all processes, from any state.
func (m *Manager) Remove(ctx context.Context, id string, o MoveOptions) (Result, error) {
	return m.Move(ctx, VerbRemove, id, o)
}

// Activate switches a loaded patch on.
func (m *Manager) Activate(ctx context.Context, id string, o MoveOptions) (Result, error) {
	return m.Move(ctx, VerbActive, id, o)
}

// Deactivate switches a patch off and leaves it loaded.
func (m *Manager) Deactivate(ctx context.Context, id string, o MoveOptions) (Result, error) {
	return m.Move(ctx, VerbDeactive, id, o)
}

// Accept marks an active patch as one that comes back after a boot.
func (m *Manager) Accept(ctx context.Context, id string, o MoveOptions) (Result, error) {
	return m.Move(ctx, VerbAccept, id, o)
}

// Move makes the move that verb names with the patch that id names.
func (m *Manager) Move(ctx context.Context, verb Verb, id string, o MoveOptions) (Result, error) {
	v, unlock, err := m.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	p, err := v.resolve(id)
	if err != nil {
		return Result{}, err
	}
	from := v.status(ctx, p).State
	to, err := next(verb, from)
	if err != nil {
		if p.Problem != nil {
			err = fmt.Errorf("%w; the reason: %w", err, p.Problem)
		}
		return Result{}, fmt.Errorf("%s: %w", v.nameOf(p), err)
	}
	return v.move(ctx, p, pending{Verb: verb, From: from, To: to}, o)
}

// begin takes the lock, looks, and settles what others left unfinished.
func (m *Manager) begin(ctx context.Context) (*view, func(), error) {
	unlock, err := lock(ctx, m.root, m.lockWait)
	if err != nil {
		return nil, nil, err
	}
	v, err := m.look()
	if err == nil && v.blind {
		err = needRoot(v.lost)
	}
	if err == nil && v.lost != nil {
		err = v.rebuild(ctx)
	}
	if err == nil {
		err = v.settle(ctx)
	}
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return v, unlock, nil
}

// move makes one move of the table: intent, processes, result.
func (v *view) move(ctx context.Context, p *Installed, intent pending, o MoveOptions) (Result, error) {
	started := time.Now()
	res := Result{UUID: p.UUID, Name: v.nameOf(p), Verb: intent.Verb, From: intent.From, To: intent.To, Reports: []Report{}}
	raise := intent.raises()
	entities, err := v.prepare(ctx, p, intent, raise, o)
	if err != nil {
		return res, err
	}
	if intent.To.presence() > intent.From.presence() {
		if err := v.checkOverlaps(ctx, p, entities); err != nil {
			res.Notes = append(res.Notes, err.Error())
		}
	}
	var olds []*Installed
	if raise && intent.From.presence() < Active && intent.To.presence() == Active {
		olds = v.inForce(ctx, p)
		// One goes in the same stop; under the new code it is the last. What is no
		// longer installed could not be brought back if something fails.
		if n := len(olds); n > 0 && olds[n-1].Dir != "" {
			intent.Replaces = olds[n-1].UUID
			v.replacing(entities, olds[n-1])
		}
	}
	rec := v.recordOf(p)
	intent.When, intent.BootID = started.UTC(), v.m.boot
	rec.Pending = &intent
	if err := v.store.write(v.m.root); err != nil {
		return res, err
	}
	var out outcome
	if intent.Verb != VerbAccept {
		out = v.m.bring(ctx, change{
			entities: entities, names: v.names(p), want: intent.To.presence(), raise: raise,
			tuning: Tuning{cmp.Or(o.Timeout, v.m.settings.Load().Timeout), o.Force}, bestEffort: o.BestEffort, progress: o.Progress,
		})
		v.forget()
	}
	res.Reports = append(res.Reports, out.reports...)
	err = moveFailure(res, out, o)
	if err == nil {
		res.Failures = out.failures
		v.complete(p, intent, o.Who)
		for _, old := range olds {
			res.Notes = append(res.Notes, v.retired(ctx, old, res, o))
		}
	} else {
		// All is as before, or what is not shows in the processes.
		rec.Pending = nil
	}
	if werr := v.store.write(v.m.root); werr != nil {
		err = errors.Join(err, fmt.Errorf("the processes are done and the result could not be recorded; the next command settles it: %w", werr))
	}
	v.m.journal(res, o.Who, time.Since(started), err)
	return res, err
}

// prepare gives the entities of a move, with their code if it needs it.
func (v *view) prepare(ctx context.Context, p *Installed, intent pending, raise bool, o MoveOptions) ([]Entity, error) {
	if !raise && intent.Verb != VerbAccept {
		return v.removable(p), nil
	}
	entities, err := v.load(p)
	if err != nil {
		return nil, err
	}
	if raise {
		if err := errors.Join(v.checkBlocked(p), v.checkSuspended(p, o.Force)); err != nil {
			return nil, err
		}
	}
	if intent.To.presence() > intent.From.presence() && !o.Force {
		if err := v.checkFit(ctx, p); err != nil {
			return nil, fmt.Errorf("%s: %w", p.FullName(), err)
		}
	}
	return entities, nil
}

// removable gives the entities with their code, which reverting a move down
// needs, or without if it cannot be had: that does not hold up a removal.
func (v *view) removable(p *Installed) []Entity {
	entities, err := p.load()
	if err != nil {
		return v.bare(p)
	}
	return entities
}

// bare gives the entities without code.
func (v *view) bare(p *Installed) []Entity {
	var out []Entity
	for _, e := range v.entities(p) {
		out = append(out, Entity{UUID: e.UUID, BuildID: e.BuildID})
	}
	return out
}

func (v *view) names(p *Installed) map[string]string {
	names := map[string]string{}
	for _, e := range v.entities(p) {
		names[e.UUID] = e.Name
	}
	return names
}

func (v *view) nameOf(p *Installed) string {
	if rec := v.store.Patches[p.UUID]; rec != nil && p.Meta == nil {
		return rec.Name
	}
	return p.FullName()
}

// moveFailure is the error of a move, nil if it succeeded.
func moveFailure(res Result, out outcome, o MoveOptions) error {
	kept := o.BestEffort && len(out.reports) > 0
	switch {
	case out.err == nil && (len(out.failures) == 0 || kept):
		return nil
	case out.err != nil && len(out.failures)+len(out.stuck) == 0:
		return fmt.Errorf("cannot %s %s: %w; all processes are as they were before", res.Verb, res.Name, out.err)
	}
	err := error(&MoveError{res.Name, res.Verb, out.failures, out.stuck})
	if out.err != nil {
		err = errors.Join(out.err, err)
	}
	return err
}

// recordOf gives the record of p, made if there is none.
func (v *view) recordOf(p *Installed) *record {
	rec := v.store.Patches[p.UUID]
	if rec == nil {
		rec = &record{State: NotApplied, BootID: v.m.boot, When: time.Now().UTC()}
		v.store.Patches[p.UUID] = rec
	}
	rec.Name, rec.Entities = v.nameOf(p), v.entities(p)
	return rec
}

// complete records that p has made the move.
func (v *view) complete(p *Installed, done pending, who string) {
	rec := v.recordOf(p)
	if done.To.presence() == Active && (done.From.presence() < Active || rec.Order == 0) {
		rec.Order = v.store.nextOrder()
	}
	if done.raises() {
		rec.Suspended, rec.Retired = "", ""
	}
	rec.State, rec.BootID, rec.When, rec.Who, rec.Pending = done.To, v.m.boot, time.Now().UTC(), who, nil
	if done.To == NotApplied && p.Dir == "" {
		delete(v.store.Patches, p.UUID)
	}
}

func (m *Manager) journal(res Result, who string, took time.Duration, err error) {
	pids := []int{}
	for _, r := range res.Reports {
		pids = append(pids, r.Process.PID)
	}
	log := m.log.With("patch", res.Name, "uuid", res.UUID, "verb", res.Verb, "from", res.From, "to", res.To,
		"pids", pids, "who", who, "duration", took)
	if err != nil {
		log.Warn("patch not moved", "error", err)
		return
	}
	for _, f := range res.Failures {
		log.Warn("process left out", "error", f)
	}
	log.Info("patch moved")
}
