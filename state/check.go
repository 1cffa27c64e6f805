package state

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
	"github.com/openeuler/syscare/state/metadata"
)

// Check verifies the patch that id names: its files and digests, that a
// program that it fits is running or installed, and that no applied patch
// replaces the same code. The error is an ErrInsecure, ErrCorrupt,
// ErrUnsupported, ErrMismatch or ErrConflict.
func (m *Manager) Check(ctx context.Context, id string) error {
	v, err := m.look()
	if err != nil {
		return err
	}
	p, err := v.resolve(id)
	if err != nil {
		return err
	}
	entities, err := v.load(p)
	if err != nil {
		return err
	}
	if err := v.checkFit(ctx, p); err != nil {
		return fmt.Errorf("%s: %w", p.FullName(), err)
	}
	return v.checkOverlaps(ctx, p, entities)
}

func (v *view) load(p *Installed) ([]Entity, error) {
	entities, err := p.load()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.FullName(), err)
	}
	return entities, nil
}

// checkFit demands that at least one entity has a target: a process of its
// build ID, or the installed file. An entity of unknown path can have one; a patch of
// the kernel is for the one that runs.
func (v *view) checkFit(ctx context.Context, p *Installed) error {
	var why []string
	for _, e := range p.Meta.Entities {
		if len(v.processes(ctx, e.BuildID).procs) > 0 || e.Path == "" && p.Meta.Type == metadata.UserPatch {
			return nil
		}
		if p.Meta.Type == metadata.KernelPatch {
			return fmt.Errorf("%w: the kernel that runs is not %s (build ID %s): boot that one, or install the patch for the one that runs (--force registers it anyway)",
				ErrMismatch, p.Meta.Target.FullName(), e.BuildID)
		}
		id, err := fileBuildID(filepath.Join(v.m.root, e.Path))
		switch {
		case err != nil:
			why = append(why, fmt.Sprintf("%s: %v", e.Path, err))
		case id == e.BuildID:
			return nil
		default:
			why = append(why, fmt.Sprintf("the installed %s has build ID %s, the patch is for %s", e.Path, id, e.BuildID))
		}
	}
	return fmt.Errorf("%w: %s; install %s, or its patch for the version that is installed (--force registers it anyway)",
		ErrMismatch, strings.Join(why, "; "), p.Meta.Target.FullName())
}

func fileBuildID(path string) (object.BuildID, error) {
	// Opening anything but a regular file could wait or act.
	if info, err := os.Stat(path); err != nil {
		return "", err
	} else if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	f, err := object.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	s := f.Section(".note.gnu.build-id")
	if s == nil {
		return "", fmt.Errorf("%s has no build ID", path)
	}
	data, err := s.Bytes()
	if err != nil {
		return "", err
	}
	return object.BuildIDInNotes(data, s.Align), nil
}

// checkOverlaps compares the replaced ranges with those of every other patch
// that is applied or switched off. That both replace a function is allowed; the
// newer one wins.
func (v *view) checkOverlaps(ctx context.Context, p *Installed, entities []Entity) error {
	for _, other := range v.all {
		if other.UUID == p.UUID || other.Meta == nil || supersedes(p.Meta, other.Meta) || !sharesTarget(p, other) {
			continue
		}
		if v.status(ctx, other).State.presence() == Absent {
			continue
		}
		theirs, err := other.load()
		if err != nil {
			return fmt.Errorf("%w: %s is applied to the same program and cannot be read: %w; remove it first", ErrConflict, other.FullName(), err)
		}
		name := overlap(entities, theirs)
		if name == "" {
			name = kernelOverlap(p.Meta, other.Meta)
		}
		if name != "" {
			return fmt.Errorf("%s: %w: %s replaces %s too, and of the two the one that is activated last wins: what the other mends there is not mended meanwhile",
				p.FullName(), ErrConflict, other.FullName(), name)
		}
	}
	return nil
}

func sharesTarget(a, b *Installed) bool {
	for _, x := range a.Meta.Entities {
		for _, y := range b.Meta.Entities {
			if x.BuildID == y.BuildID {
				return true
			}
		}
	}
	return false
}

// kernelOverlap names a function of a kernel that both replace, or "".
func kernelOverlap(ours, theirs *metadata.Patch) string {
	if ours.Type != metadata.KernelPatch || theirs.Type != metadata.KernelPatch {
		return ""
	}
	for _, a := range ours.Entities {
		for _, b := range theirs.Entities {
			if a.BuildID != b.BuildID {
				continue
			}
			for _, name := range a.Functions {
				if slices.Contains(b.Functions, name) {
					return name
				}
			}
		}
	}
	return ""
}

// overlap names a function of a program that both replace, or "".
func overlap(ours, theirs []Entity) string {
	for _, a := range ours {
		for _, b := range theirs {
			if a.BuildID != b.BuildID || a.Object == nil || b.Object == nil {
				continue
			}
			for _, f := range a.Object.Funcs {
				for _, g := range b.Object.Funcs {
					if f.Kind == patchobject.Replaced && g.Kind == patchobject.Replaced &&
						f.OldAddress < g.OldAddress+object.Address(g.OldSize) && g.OldAddress < f.OldAddress+object.Address(f.OldSize) {
						return f.Name
					}
				}
			}
		}
	}
	return ""
}
