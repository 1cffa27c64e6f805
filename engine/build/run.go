package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/openeuler/syscare/engine/build/front"
	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/object"
)

// Request is what a patch is made from.
type Request struct {
	WorkDir string // for everything that is made on the way; without blanks
	Front   string // path of syscare-cc
	// Tree tells where the sources lie.
	Tree func() (string, error)
	// Rebuild runs the build once more in the tree, which has been patched
	// meanwhile. Nil if that cannot be done: then a fix that needs it is a
	// NotReplayableError.
	Rebuild func(ctx context.Context, env []string) error

	Patches []string // patch files, in order
	Strip   int      // leading directories to take off their names
	Debug   []DebugFile

	Jobs              int
	SkipCompilerCheck bool
	Accept            diff.Accept

	// DryRun stops when it is known what is to be compiled: Result.Planned.
	DryRun bool
	// KeepGoing finds all that is refused, instead of the first of it.
	KeepGoing bool

	// Listings disassembles the functions of each entity before and after.
	Listings bool

	UUID func(object.BuildID) string // of the entity for that target ELF
	Tool string                      // version of SysCare

	Log      io.Writer    // commands and their output; may be nil
	Logger   *slog.Logger // notes for people; may be nil
	Progress func(stage string, done, total int)
}

// Entity is the part of a patch for one target ELF.
type Entity struct {
	UUID       string
	Name       string
	TargetPath string
	BuildID    object.BuildID
	Object     []byte
	Functions  []string
	Contents   []diff.Content
	Checks     []string  // what was found to be in order, for people
	Listings   []Listing // with Request.Listings, of the functions among Contents
}

// Result is what Patch made.
type Result struct {
	Entities []Entity
	Notes    []string // what was left out and why
	Checks   []string // what was found to be in order, for people
	Planned  []Planned
}

// Planned is what is compiled twice, before and after the fix, for one target ELF.
type Planned struct {
	Name       string   `json:"name"`
	TargetPath string   `json:"path"`
	Sources    []string `json:"sources"` // relative to the source tree
}

// Stages for Request.Progress. Who records the build reports the first.
const (
	StageRecord  = "Building the program"
	StagePlan    = "Checking patches"
	StageRebuild = "Building the patched program"
	StageCompile = "Compiling changed files"
	StageDiff    = "Comparing objects"
)

// runner is one Patch under way.
type runner struct {
	Request
	log       io.Writer
	recording *Recording
	plan      *Plan
	touched   diff.Touched
	result    Result
}

// Patch makes the patch objects of a fix for what was built. It returns an
// error that wraps diff.ErrNoChange when the patches change nothing in any
// debuginfo's program. The source tree is in the end what it was, so that one
// recording serves many fixes, one after the other.
func (r *Recording) Patch(ctx context.Context, req Request) (*Result, error) {
	p := &runner{Request: req, log: NewLog(req.Log), recording: r}
	if err := p.prepare(); err != nil {
		return nil, err
	}
	if err := p.run(ctx); err != nil {
		return nil, err
	}
	return &p.result, nil
}

func (r *runner) prepare() error {
	r.Jobs = max(r.Jobs, 1)
	if r.Logger == nil {
		r.Logger = slog.New(slog.DiscardHandler)
	}
	if r.Progress == nil {
		r.Progress = func(string, int, int) {}
	}
	var err error
	if r.WorkDir, err = filepath.Abs(r.WorkDir); err != nil {
		return err
	}
	return os.MkdirAll(r.WorkDir, 0o755)
}

func (r *runner) run(ctx context.Context) error {
	recording := r.recording
	tree, err := r.Tree()
	if err != nil {
		return err
	}
	r.Logger.Info("recorded the build", "objects", len(recording.Units()), "linked", len(recording.Links()))
	r.Progress(StagePlan, 0, 0)
	if err := r.checkCompilers(ctx); err != nil {
		return err
	}
	if r.plan, err = ApplyPatches(ctx, tree, r.WorkDir, r.Patches, r.Strip); err != nil {
		return err
	}
	r.note(r.plan.Notes...)
	r.result.Checks = append(r.result.Checks, fmt.Sprintf("patch files that fit without fuzz: %d; files that they change: %d", len(r.Patches), len(r.plan.Changes)))
	units, notes, err := recording.Affected(ctx, r.plan, r.WorkDir, r.Jobs, r.log)
	var unreplayable *NotReplayableError
	if errors.As(err, &unreplayable) && r.Rebuild != nil && !r.DryRun {
		return r.runAgain(ctx, err)
	}
	if err != nil {
		return err
	}
	r.note(notes...)
	if len(units) == 0 && !r.unrecorded() {
		return r.noChange("no source file of the program is changed")
	}
	targets, err := r.targets(units)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return r.noChange("nothing that has debuginfo is changed")
	}
	if r.DryRun {
		for _, t := range targets {
			p := Planned{Name: t.Debug.Name, TargetPath: t.Debug.TargetPath}
			for _, u := range t.units {
				p.Sources = append(p.Sources, r.relative(u.Source))
			}
			r.result.Planned = append(r.result.Planned, p)
		}
		return nil
	}
	objects, err := r.compile(ctx, targets)
	if err != nil {
		return err
	}
	return r.diff(ctx, targets, objects)
}

// runAgain is what run does with the objects of a second build.
func (r *runner) runAgain(ctx context.Context, why error) (err error) {
	targets, original, err := r.again(ctx, why)
	defer func() {
		if original != "" {
			err = errors.Join(err, r.putBack(original))
		}
	}()
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return r.noChange("the patched build makes the same objects")
	}
	objects, err := r.compileRevised(ctx, targets, original)
	if err != nil {
		return err
	}
	for i, t := range targets {
		for _, u := range t.revisions {
			targets[i].units = append(targets[i].units, u.after)
		}
	}
	return r.diff(ctx, targets, objects)
}

func (r *runner) note(notes ...string) {
	for _, n := range notes {
		r.Logger.Info(n)
		r.result.Notes = append(r.result.Notes, n)
	}
}

func (r *runner) noChange(reason string) error {
	text := append([]string{reason}, r.result.Notes...)
	return fmt.Errorf("%w: %s", diff.ErrNoChange, strings.Join(text, "; "))
}

// checkCompilers refuses debuginfo of another compiler.
func (r *runner) checkCompilers(ctx context.Context) error {
	if r.SkipCompilerCheck {
		r.note("the compiler check is skipped")
		return nil
	}
	local, err := r.recording.Producers(ctx, r.WorkDir, r.log)
	if err != nil {
		return err
	}
	for _, d := range r.Debug {
		f, err := object.Open(d.Path)
		if err != nil {
			return fmt.Errorf("debuginfo: %w", err)
		}
		err = CompilerCheck(d.Path, f, local)
		if errors.Is(err, errNoProducer) { // another language
			r.note(err.Error())
			err = nil
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	r.result.Checks = append(r.result.Checks, "the debuginfo is of the compilers that are here: "+strings.Join(local, "; "))
	return nil
}

// unrecorded reports whether an object that no recorded command made could be
// changed: by a header, or by a source that no recorded command compiled.
func (r *runner) unrecorded() bool {
	index := newUsers(r.recording)
	for _, c := range r.plan.Changes {
		if isHeader(c.Path) || isSource(c.Path) && len(index.of(filepath.Join(r.plan.Tree, c.Path))) == 0 {
			return true
		}
	}
	return false
}

// target is a program to patch and its affected units.
type target struct {
	*Pairing
	units     []*Unit
	revisions []revised // of a second build
}

// targets pairs the links that contain affected units with their debuginfo.
func (r *runner) targets(affected []*Unit) ([]target, error) {
	changed := map[*Unit]bool{}
	for _, u := range affected {
		changed[u] = true
	}
	pairings, others, err := MatchTargets(r.recording.Links(), r.Debug)
	if err != nil {
		return nil, err
	}
	paired := map[string]bool{} // names of links that have their debuginfo
	var targets []target
	unrecorded := r.unrecorded()
	for _, p := range pairings {
		paired[filepath.Base(p.Link.Path)] = true
		units, err := linkedUnits(p.Link, changed)
		if err != nil {
			return nil, err
		}
		if len(units) > 0 || unrecorded {
			if err := p.Link.check(); err != nil {
				return nil, err
			}
		}
		if len(units) > 0 {
			targets = append(targets, target{Pairing: p, units: units})
		}
	}
	linked := map[*Unit]bool{}
	for _, l := range r.recording.Links() {
		units, err := linkedUnits(l, changed)
		if err != nil {
			return nil, err
		}
		for _, u := range units {
			linked[u] = true
		}
		if len(units) == 0 || paired[filepath.Base(l.Path)] {
			continue
		}
		for _, other := range others {
			if other.Link == l.Path || strings.HasPrefix(filepath.Base(other.Debug), filepath.Base(l.Path)) {
				return nil, other
			}
		}
		paired[filepath.Base(l.Path)] = true
		r.note(fmt.Sprintf("%s contains changed code, but there is no debuginfo for it: it is not patched", l.Path))
	}
	for _, u := range affected {
		if !linked[u] {
			r.note(fmt.Sprintf("%s is compiled (%s), but in no linked file", u.Source, u.Output))
		}
	}
	return targets, nil
}

// linkedUnits returns those changed units of a link that the linker took:
// archives offer more than is used.
func linkedUnits(l *Link, changed map[*Unit]bool) ([]*Unit, error) {
	var candidates []*Unit
	for _, u := range l.Units {
		if changed[u] {
			candidates = append(candidates, u)
		}
	}
	if len(candidates) == 0 {
		return nil, nil
	}
	f, err := object.Open(l.Kept)
	if err != nil {
		return nil, fmt.Errorf("linked file %s: %w", l.Path, err)
	}
	defer f.Close()
	if len(f.Symbols) == 0 {
		return candidates, nil // stripped by the linker
	}
	files := map[string]bool{}
	for _, s := range f.Symbols {
		if s.File != "" {
			files[s.File] = true
		}
		if s.Type == fileSymbol {
			files[s.Name] = true
		}
	}
	var taken []*Unit
	for _, u := range candidates {
		// Assemblers leave no name; whether such a unit was taken does not matter if
		// it has not changed, and else it is refused.
		if files[filepath.Base(u.Source)] || strings.HasPrefix(u.Language, front.LanguageAssembler) {
			taken = append(taken, u)
		}
	}
	return taken, nil
}
