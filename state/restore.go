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

// Save records the present state of all patches for Restore, and returns how
// many there are. States that cannot be told (UNKNOWN) are not saved.
func (m *Manager) Save(ctx context.Context) (int, error) {
	v, unlock, err := m.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer unlock()
	n := 0
	for _, p := range v.all {
		if st := v.status(ctx, p).State; st != Unknown {
			v.recordOf(p).Saved = st
			n++
		}
	}
	return n, v.store.write(m.root)
}

// Restore brings back the saved states, in the order in which the patches were
// activated. Patches that were accepted come back even if nothing was saved;
// with acceptedOnly nothing else does. One that fails does not hold up the
// others; all errors are returned together.
func (m *Manager) Restore(ctx context.Context, acceptedOnly bool, o MoveOptions) ([]Result, error) {
	v, unlock, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var results []Result
	var errs []error
	for _, p := range v.inOrder() {
		rec := v.store.Patches[p.UUID]
		to := rec.Saved
		if rec.State == Accepted && (acceptedOnly || to == "") {
			to = Accepted
		} else if acceptedOnly || to == "" {
			continue
		}
		if res, retired := v.retireOutdated(ctx, p, o); retired {
			results = append(results, res)
			errs = append(errs, v.store.write(m.root))
			continue
		}
		from := v.status(ctx, p).State
		if from == to && to.presence() < Active {
			continue
		}
		res, err := v.move(ctx, p, pending{Verb: verbRestore, From: from, To: to}, o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		results = append(results, res)
	}
	return results, errors.Join(errs...)
}

// inOrder lists the installed patches that have a record, in order of
// activation, then of name.
func (v *view) inOrder() []*Installed {
	var out []*Installed
	for _, p := range v.all {
		if v.store.Patches[p.UUID] != nil {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b *Installed) int {
		return cmp.Compare(v.store.Patches[a.UUID].Order, v.store.Patches[b.UUID].Order)
	})
	return out
}

// Rescan makes store and processes agree: processes left half done are mended,
// those that started since are patched where they can be, patches whose targets
// were updated are retired when no process has them any more, and records of
// patches that are gone are dropped. It returns what it changed.
func (m *Manager) Rescan(ctx context.Context, o MoveOptions) ([]Result, error) {
	v, unlock, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, p := range v.all {
		v.repair(ctx, p)
		if st := v.status(ctx, p); v.store.Patches[p.UUID] == nil && st.State.presence() > Absent {
			v.complete(p, pending{From: NotApplied, To: st.State}, "recovered")
		}
	}
	o.BestEffort = true
	var results []Result
	var errs []error
	for _, p := range v.inOrder() {
		if res, retired := v.retireOutdated(ctx, p, o); retired {
			results = append(results, res)
			continue
		}
		res, err := v.reconcile(ctx, p, o)
		if err != nil {
			errs = append(errs, err)
		}
		if len(res.Reports) > 0 || res.From != res.To {
			results = append(results, res)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(v.store.Patches)) {
		p := v.orphan(id)
		if p == nil {
			continue
		}
		if v.status(ctx, p).State.presence() == Absent {
			delete(v.store.Patches, id)
		} else {
			errs = append(errs, p.Problem)
		}
	}
	return results, errors.Join(append(errs, v.store.write(m.root))...)
}

// reconcile makes the record of p say what the processes say, and patches the
// processes that its state wants patched.
func (v *view) reconcile(ctx context.Context, p *Installed, o MoveOptions) (Result, error) {
	st, rec := v.status(ctx, p), v.store.Patches[p.UUID]
	// A record from an earlier boot is what Restore needs, left alone.
	if rec.BootID == v.m.boot && st.State.valid() && rec.State != st.State {
		rec.State, rec.When, rec.Who = st.State, time.Now().UTC(), "rescan"
	}
	if st.State.presence() < Active || st.Patched == st.Running {
		return Result{}, nil
	}
	res, err := v.move(ctx, p, pending{Verb: VerbApply, From: st.State, To: st.State}, o)
	if err == nil && len(res.Failures) > 0 {
		err = fmt.Errorf("some processes stay unpatched: %w", &MoveError{res.Name, VerbApply, res.Failures, nil})
	}
	return res, err
}
