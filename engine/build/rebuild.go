package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// A fix that changes more than sources and headers of recorded commands (a
// Makefile, a generator's input, a new source file) is built a second time: the
// whole build runs once more in the patched tree, behind the front. The units
// whose objects differ are compared then, each compiled in the tree that it
// belongs to.

// revised is one unit before and after the fix. Before is nil for a new one.
type revised struct{ before, after *Unit }

// again records the second build and gives the units of each target that it
// changed. It leaves the tree patched; original is where the old one lies.
func (r *runner) again(ctx context.Context, why error) (targets []target, original string, err error) {
	r.note(fmt.Sprintf("%v; the program is built a second time, with the patches", why))
	r.Progress(StageRebuild, 0, 0)
	original = r.plan.Tree + ".syscare-original"
	if err := os.RemoveAll(original); err != nil {
		return nil, "", err
	}
	if err := RunCommand(ctx, r.log, filepath.Dir(r.plan.Tree), os.Environ(), []string{"cp", "-a", "--reflink=auto", r.plan.Tree, original}); err != nil {
		return nil, "", fmt.Errorf("copy the source tree: %w", err)
	}
	numbered, err := r.plan.Numbered(ctx, r.WorkDir)
	if err == nil {
		err = r.plan.Apply(numbered)
	}
	if err != nil {
		return nil, original, err
	}
	second, err := recordFrom(ctx, Options{WorkDir: filepath.Join(r.WorkDir, "second"), Front: r.Front}, r.Rebuild, r.recording)
	if err != nil {
		return nil, original, fmt.Errorf("with the patches applied: %w", err)
	}
	pairings, _, err := MatchTargets(r.recording.Links(), r.Debug)
	if err != nil {
		return nil, original, err
	}
	for _, p := range pairings {
		link := second.linkAt(p.Link.Path)
		if link == nil {
			continue // it was not linked anew: nothing in it changed
		}
		for _, l := range []*Link{p.Link, link} {
			if err := l.check(); err != nil {
				return nil, original, err
			}
		}
		if units := r.revisions(p.Link, link); len(units) > 0 {
			targets = append(targets, target{Pairing: p, revisions: units})
		}
	}
	return targets, original, nil
}

// linkAt is the last link of that path.
func (r *Recording) linkAt(path string) *Link {
	var found *Link
	for _, l := range r.links {
		if l.Path == path {
			found = l
		}
	}
	return found
}

// revisions pairs the units of a linked file before and after, leaving out
// those whose objects are equal.
func (r *runner) revisions(before, after *Link) []revised {
	old := map[string]*Unit{}
	same := map[*Unit]bool{}
	for _, u := range before.Units {
		old[u.Source] = u
		same[u] = true
	}
	var units []revised
	for _, u := range after.Units {
		if same[u] {
			continue
		}
		b := old[u.Source]
		if b != nil && b.Digest != "" && b.Digest == u.Digest {
			continue
		}
		units = append(units, revised{b, u})
	}
	return units
}

// compileRevised makes the objects of all revisions: the patched ones in the
// patched tree, then, with the old tree back in its place, the others.
func (r *runner) compileRevised(ctx context.Context, targets []target, original string) (made map[*Unit]objects, err error) {
	include, err := WriteHeader(r.WorkDir)
	if err != nil {
		return nil, err
	}
	flags := append(DiffFlags(), "-idirafter", include)
	made = map[*Unit]objects{}
	var after, before []*Unit
	older := map[*Unit]*Unit{}
	for _, t := range targets {
		for _, u := range t.revisions {
			if _, known := made[u.after]; known {
				continue
			}
			dir := filepath.Join(r.WorkDir, "objects", fmt.Sprint(len(after)))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return nil, err
			}
			o := objects{patched: filepath.Join(dir, "patched.o")}
			if u.before != nil {
				o.recorded, o.original = filepath.Join(dir, "recorded.o"), filepath.Join(dir, "original.o")
				older[u.before] = u.after
				before = append(before, u.before)
			}
			made[u.after] = o
			after = append(after, u.after)
		}
	}
	err = r.each(ctx, after, func(ctx context.Context, _ int, u *Unit) error {
		return u.Compile(ctx, made[u].patched, r.log, flags...)
	})
	if err != nil {
		return nil, fmt.Errorf("with the patches applied: %w", err)
	}
	if err := r.putBack(original); err != nil {
		return nil, err
	}
	recorded := make([]string, len(before))
	err = r.each(ctx, before, func(ctx context.Context, i int, u *Unit) (err error) {
		o := made[older[u]]
		if recorded[i], err = u.recordedObject(ctx, o.recorded, r.log); err != nil {
			return err
		}
		return u.Compile(ctx, o.original, r.log, flags...)
	})
	for i, u := range before {
		o := made[older[u]]
		o.recorded = recorded[i]
		made[older[u]] = o
	}
	return made, err
}

// putBack gives the tree its place again.
func (r *runner) putBack(original string) error {
	if _, err := os.Stat(original); err != nil {
		return nil // it is there
	}
	if err := os.RemoveAll(r.plan.Tree); err != nil {
		return err
	}
	return os.Rename(original, r.plan.Tree)
}

// recordFrom is Record for a build that goes on from an earlier one: what it
// does not make again was made there.
func recordFrom(ctx context.Context, opt Options, run func(context.Context, []string) error, base *Recording) (*Recording, error) {
	log, err := runRecorded(ctx, opt, run)
	if err != nil {
		return nil, err
	}
	r := newRecording(log)
	for digest, units := range base.objects {
		r.objects[digest] = append([]*Unit(nil), units...)
	}
	for digest, record := range base.combined {
		r.combined[digest] = record
	}
	for to, from := range base.transformed {
		r.transformed[to] = from
	}
	if _, err := os.Stat(log); os.IsNotExist(err) {
		return r, nil // nothing had to be made again
	}
	return r, r.read(log)
}
