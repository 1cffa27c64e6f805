package build

import (
	"context"
	"debug/elf"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
)

const fileSymbol = elf.STT_FILE

// objects are the paths of the three objects of one unit.
type objects struct{ recorded, original, patched string }

// compile makes the objects of all units of the targets: recorded and
// original ones first, then, with the patches in the tree, the patched ones.
func (r *runner) compile(ctx context.Context, targets []target) (made map[*Unit]objects, err error) {
	made = map[*Unit]objects{}
	var units []*Unit
	for _, t := range targets {
		for _, u := range t.units {
			if _, known := made[u]; known {
				continue
			}
			dir := filepath.Join(r.WorkDir, "objects", fmt.Sprint(len(units)))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return nil, err
			}
			made[u] = objects{
				recorded: filepath.Join(dir, "recorded.o"), original: filepath.Join(dir, "original.o"), patched: filepath.Join(dir, "patched.o"),
			}
			units = append(units, u)
		}
	}
	include, err := WriteHeader(r.WorkDir)
	if err != nil {
		return nil, err
	}
	flags := append(DiffFlags(), "-idirafter", include)
	var done atomic.Int64
	recorded := make([]string, len(units))
	err = r.each(ctx, units, func(ctx context.Context, i int, u *Unit) (err error) {
		if recorded[i], err = u.recordedObject(ctx, made[u].recorded, r.log); err != nil {
			return err
		}
		if err = u.Compile(ctx, made[u].original, r.log, flags...); err == nil {
			r.Progress(StageCompile, int(done.Add(1)), 2*len(units))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, u := range units {
		o := made[u]
		o.recorded = recorded[i]
		made[u] = o
	}
	numbered, err := r.plan.Numbered(ctx, r.WorkDir)
	if err != nil {
		return nil, err
	}
	defer func() {
		// Also what was applied in part is taken back.
		if revertErr := r.plan.Revert(); revertErr != nil {
			err = errors.Join(err, revertErr)
		}
	}()
	if err := r.plan.Apply(numbered); err != nil {
		return nil, err
	}
	return made, r.each(ctx, units, func(ctx context.Context, _ int, u *Unit) error {
		err := u.Compile(ctx, made[u].patched, r.log, flags...)
		if err != nil {
			return fmt.Errorf("with the patches applied: %w", err)
		}
		r.Progress(StageCompile, int(done.Add(1)), 2*len(units))
		return nil
	})
}

// header is syscare.h, which patches may include.
//
//go:embed syscare.h
var header []byte

// WriteHeader makes a directory with syscare.h in work. It comes last when headers
// are looked for: a file of the program of that name goes before.
func WriteHeader(work string) (dir string, err error) {
	dir = filepath.Join(work, "include")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "syscare.h"), header, 0o644)
}

// each calls work for all units, Jobs at a time.
func (r *runner) each(ctx context.Context, units []*Unit, work func(context.Context, int, *Unit) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(r.Jobs)
	for i, u := range units {
		group.Go(func() error { return work(ctx, i, u) })
	}
	return group.Wait()
}

// diff makes one entity of each target that really changes.
func (r *runner) diff(ctx context.Context, targets []target, made map[*Unit]objects) error {
	var refused []error
	var err error
	if r.touched, err = r.plan.Touched(ctx, r.WorkDir); err != nil {
		return err
	}
	for i, t := range targets {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		r.Progress(StageDiff, i, len(targets))
		entity, err := r.entity(ctx, t, made)
		if errors.Is(err, diff.ErrNoChange) {
			r.note(fmt.Sprintf("%s: nothing that code is generated for is changed", t.Debug.TargetPath))
			continue
		}
		var refusal *diff.Refusal
		if r.KeepGoing && errors.As(err, &refusal) {
			refused = append(refused, fmt.Errorf("%s: %w", t.Debug.Name, err))
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.Debug.Name, err)
		}
		r.result.Entities = append(r.result.Entities, *entity)
	}
	r.Progress(StageDiff, len(targets), len(targets))
	if len(refused) > 0 {
		return errors.Join(refused...)
	}
	if len(r.result.Entities) == 0 {
		return r.noChange("the changed files compile to the same code")
	}
	return nil
}

// opened closes what was opened for one comparison.
type opened []*object.File

func (o *opened) open(path string) (*object.File, error) {
	f, err := object.Open(path)
	if err == nil {
		*o = append(*o, f)
	}
	return f, err
}

func (o *opened) close() error {
	var err error
	for _, f := range *o {
		err = errors.Join(err, f.Close())
	}
	return err
}

func (r *runner) entity(ctx context.Context, t target, made map[*Unit]objects) (entity *Entity, err error) {
	var files opened
	defer func() { err = errors.Join(err, files.close()) }()
	debug, err := files.open(t.Debug.Path)
	if err != nil {
		return nil, err
	}
	var units []diff.Unit
	for _, u := range t.units {
		d := diff.Unit{Source: r.relative(u.Source)}
		for _, part := range []struct {
			path string
			into **object.File
		}{{made[u].recorded, &d.Recorded}, {made[u].original, &d.Original}, {made[u].patched, &d.Patched}} {
			if part.path == "" { // of a new unit
				continue
			}
			if *part.into, err = files.open(part.path); err != nil {
				return nil, err
			}
		}
		units = append(units, d)
	}
	built, err := diff.Build(debug, units, diff.Options{
		UUID: r.UUID(t.ID), Entity: t.Debug.Name, TargetName: filepath.Base(t.Debug.TargetPath), TargetPath: t.Debug.TargetPath,
		Tool: r.Tool, Accept: r.Accept, KeepGoing: r.KeepGoing, Touched: r.touched,
	})
	if err != nil {
		return nil, err
	}
	if err := t.checkSame(built); err != nil {
		return nil, err
	}
	r.note(built.Notes...)
	entity = &Entity{
		UUID: r.UUID(t.ID), Name: t.Debug.Name, TargetPath: t.Debug.TargetPath, BuildID: t.ID,
		Object: built.Object, Functions: built.Functions, Contents: built.Contents, Checks: t.checks(built),
	}
	for i, c := range entity.Contents {
		entity.Contents[i].File = r.sourceName(c)
	}
	if r.Listings {
		ofUnits := make([]Compared, len(t.units))
		for i, u := range t.units {
			ofUnits[i] = Compared{made[u].original, made[u].patched}
		}
		entity.Listings, err = Listings(ctx, r.WorkDir, built.Contents, ofUnits)
	}
	return entity, err
}

// checkSame refuses when a function that is replaced, or that the patch
// refers to, is not the shipped one.
func (p *Pairing) checkSame(made *diff.Result) error {
	if p.Exact {
		return nil
	}
	patch, err := patchobject.Parse(made.Object)
	if err != nil {
		return err
	}
	names := append([]string(nil), made.Functions...)
	for _, b := range patch.Binds {
		if b.Kind == patchobject.BindTarget && b.Type == patchobject.Func {
			names = append(names, b.Name)
		}
	}
	var differ []string
	for _, n := range names {
		if !p.SameFunction(n) {
			differ = append(differ, n)
		}
	}
	if len(differ) == 0 {
		return nil
	}
	return &OtherBuildError{Debug: p.Debug.Path, Link: p.Link.Path, Same: p.same, Total: p.total, Differs: differ}
}

// checks says what was found equal or unchanged before the patch was made.
func (p *Pairing) checks(made *diff.Result) []string {
	same := fmt.Sprintf("the program was built again: all %d functions have the addresses and sizes of those that were shipped", p.total)
	if !p.Exact {
		same = fmt.Sprintf("the program was built again: %d of %d functions have the sizes and neighbours of those that were shipped, among them all that the patch replaces or calls", p.same, p.total)
	}
	return append([]string{same}, made.Checks...)
}

// relative shortens a path of the source tree for people.
func (r *runner) relative(path string) string {
	if short, err := filepath.Rel(r.plan.Tree, path); err == nil && filepath.IsLocal(short) {
		return short
	}
	return path
}

// sourceName shortens the name of the file that something is declared in. The build
// may have written another directory of its sources into the debug information.
func (r *runner) sourceName(c diff.Content) string {
	if strings.HasSuffix(c.File, "/"+c.Unit) {
		return c.Unit
	}
	return r.relative(c.File)
}
