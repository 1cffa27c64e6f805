package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Policy is what becomes of a patch when its package is installed.
type Policy string

// The policies. Whatever they say, a patch becomes active that takes the place of an
// active one whose package goes, and is accepted if that was.
const (
	PolicyManual Policy = "manual" // it is registered
	PolicyApply  Policy = "apply"
	PolicyAccept Policy = "accept"
)

// ParsePolicy reads a policy; "" is PolicyManual.
func ParsePolicy(text string) (Policy, error) {
	switch p := Policy(text); p {
	case "":
		return PolicyManual, nil
	case PolicyManual, PolicyApply, PolicyAccept:
		return p, nil
	}
	return "", fmt.Errorf("policy %q is none of manual, apply and accept", text)
}

// PackageInstalled says that a patch has come. It does what policy says.
func (m *Manager) PackageInstalled(ctx context.Context, uuid string, policy Policy, o MoveOptions) (Result, error) {
	v, unlock, err := m.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	p := v.byUUID(uuid)
	if p == nil || p.Dir == "" {
		return Result{}, fmt.Errorf("%w: %s", ErrNotFound, uuid)
	}
	return v.register(ctx, p, nil, policy, o)
}

// PackageErased says that the package of a patch goes, and how many of its name
// stay. If another patch takes its place, that does so now, in each process in one
// stop; else the patch is taken out if no package stays. Files of the patch are
// still there.
func (m *Manager) PackageErased(ctx context.Context, uuid string, stay int, o MoveOptions) (Result, error) {
	v, unlock, err := m.begin(ctx)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	p := v.byUUID(uuid)
	if p == nil { // neither installed nor recorded
		return Result{UUID: uuid, From: NotApplied, To: NotApplied}, nil
	}
	st := v.status(ctx, p).State
	if next := v.successor(p, stay); next != nil && st.presence() == Active {
		res, err := v.register(ctx, next, p, PolicyManual, o)
		if err == nil || stay > 0 {
			return res, err
		}
		return res, fmt.Errorf("%s stays, because what takes its place cannot: %w", v.nameOf(p), err)
	}
	if stay > 0 {
		return Result{UUID: uuid, Name: v.nameOf(p), Verb: VerbRemove, From: st, To: st}, nil
	}
	to, err := next(VerbRemove, st)
	if err != nil {
		return Result{}, err
	}
	return v.move(ctx, p, pending{Verb: VerbRemove, From: st, To: to}, o)
}

// successor is the patch that has come in the same transaction to take the place of
// p: another version of it or, if no package of its name stays, one that obsoletes it
// and has not been registered yet. Without one it is nil.
func (v *view) successor(p *Installed, stay int) *Installed {
	if p.Meta == nil {
		return nil
	}
	for _, other := range v.all {
		if other.UUID == p.UUID || other.Meta == nil || !supersedes(other.Meta, p.Meta) {
			continue
		}
		if stay > 0 && other.Meta.Name == p.Meta.Name || stay == 0 && v.store.Patches[other.UUID] == nil {
			return other
		}
	}
	return nil
}

// register records p, and brings it to where policy wants it, or what it takes the
// place of: leaving, whose package goes, and what has no package any more.
func (v *view) register(ctx context.Context, p, leaving *Installed, policy Policy, o MoveOptions) (Result, error) {
	from := v.status(ctx, p).State
	to := NotApplied
	switch policy {
	case PolicyApply:
		to = Actived
	case PolicyAccept:
		to = Accepted
	}
	olds := slices.DeleteFunc(v.inForce(ctx, p), func(old *Installed) bool { return old.Dir != "" && old != leaving })
	for _, old := range olds {
		if v.status(ctx, old).State == Accepted {
			to = Accepted
		} else if to == NotApplied {
			to = Actived
		}
	}
	res := Result{UUID: p.UUID, Name: v.nameOf(p), Verb: VerbApply, From: from, To: from, Reports: []Report{}}
	if to == NotApplied || from.presence() == Active && len(olds) == 0 {
		if v.store.Patches[p.UUID] != nil {
			return res, nil
		}
		v.recordOf(p)
		return res, v.store.write(v.m.root)
	}
	if from == Unknown {
		return res, fmt.Errorf("%s cannot be applied: %w; install its package again", v.nameOf(p), p.Problem)
	}
	res, err := v.move(ctx, p, pending{Verb: VerbApply, From: from, To: moves[VerbApply][from]}, o)
	if err == nil && to == Accepted && res.To != Accepted {
		var accepted Result
		accepted, err = v.move(ctx, p, pending{Verb: VerbAccept, From: res.To, To: Accepted}, o)
		res.To = accepted.To
	}
	return res, err
}

// Reconcile does what package scripts would have done that were not run: patches
// that nobody has registered are, and patches that are no longer installed are taken
// out. Then it does what Rescan does.
func (m *Manager) Reconcile(ctx context.Context, policy Policy, o MoveOptions) ([]Result, error) {
	results, err := m.reconcilePackages(ctx, policy, o)
	if errors.Is(err, ErrLocked) || ctx.Err() != nil {
		return results, err
	}
	more, rescanErr := m.Rescan(ctx, o)
	return append(results, more...), errors.Join(err, rescanErr)
}

func (m *Manager) reconcilePackages(ctx context.Context, policy Policy, o MoveOptions) ([]Result, error) {
	v, unlock, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var results []Result
	var errs []error
	done := func(res Result, err error) {
		if err != nil {
			errs = append(errs, err)
		} else if len(res.Reports) > 0 || res.From != res.To {
			results = append(results, res)
		}
	}
	for _, p := range v.all {
		if v.store.Patches[p.UUID] == nil {
			done(v.register(ctx, p, nil, policy, o))
		}
	}
	if _, err := os.Stat(filepath.Join(m.root, patchesDir)); errors.Is(err, fs.ErrNotExist) {
		return results, errors.Join(errs...) // it may come back: a disk that is not there
	}
	for _, id := range slices.Sorted(maps.Keys(v.store.Patches)) {
		p := v.orphan(id)
		if p == nil {
			continue
		}
		if from := v.status(ctx, p).State; from.presence() > Absent {
			done(v.move(ctx, p, pending{Verb: VerbRemove, From: from, To: NotApplied}, o))
		}
	}
	return results, errors.Join(errs...)
}
