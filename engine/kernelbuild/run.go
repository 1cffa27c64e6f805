package kernelbuild

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/object"
)

// Request is what a livepatch module is made from.
type Request struct {
	Tree    *Tree // that Prepare or Open has made
	Vmlinux string
	Modules []ModuleFile // all that the fix may be for
	Others  []ModuleFile // others that these may depend on
	WorkDir string       // for everything that is made on the way; without blanks

	Patches []string // patch files, in order
	Strip   int      // leading directories to take off their names
	Name    string   // of the module

	SkipCompilerCheck bool
	Accept            diff.Accept
	DryRun            bool // stop when it is known what is to be compiled: Result.Sources
	KeepGoing         bool // find all that is refused, instead of the first of it
	Listings          bool // disassemble the functions before and after

	// Key and Certificate are files of the private key and the X.509 certificate that
	// the module is signed with; "": it is not.
	Key, Certificate string

	Log      io.Writer    // commands and their output; may be nil
	Logger   *slog.Logger // notes for people; may be nil
	Progress func(stage string, done, total int)
}

// Result is the module, and what is in it.
type Result struct {
	*diff.Livepatch
	Module  []byte
	BuildID object.BuildID // of the kernel
	Sources []string       // that are compiled, relative to the tree
	Notes   []string
	Checks  []string

	// Listings are of the functions among the contents, with Request.Listings.
	Listings []build.Listing
}

// stageLink is a stage for Request.Progress, beside those of package build.
const stageLink = "Linking the module"

// runner is one Build under way.
type runner struct {
	Request
	opened  []*object.File
	vmlinux *object.File
	files   map[string]*object.File // of modules, by name
	exports map[string]diff.Export
	plan    *build.Plan
	units   []*unit
	objects []build.Compared // of the units

	recorded []string // paths of the objects as they were for the shipped kernel
	compiled atomic.Int64
	result   Result
}

// Build makes the module. It returns an error that wraps diff.ErrNoChange when the patches
// change nothing in the kernel or its modules, and a *diff.Refusal when they cannot be
// patched. The tree is in the end what it was.
func Build(ctx context.Context, req Request) (result *Result, err error) {
	r := &runner{Request: req, files: map[string]*object.File{}}
	if r.Logger == nil {
		r.Logger = slog.New(slog.DiscardHandler)
	}
	if r.Progress == nil {
		r.Progress = func(string, int, int) {}
	}
	r.Log = build.NewLog(r.Log)
	r.Tree.Log = r.Log
	defer func() {
		for _, f := range r.opened {
			err = errors.Join(err, f.Close())
		}
	}()
	return &r.result, r.run(ctx)
}

func (r *runner) open(path string) (*object.File, error) {
	f, err := object.Open(path)
	if err == nil {
		r.opened = append(r.opened, f)
	}
	return f, err
}

func (r *runner) note(notes ...string) {
	for _, n := range notes {
		r.Logger.Info(n)
		r.result.Notes = append(r.result.Notes, n)
	}
}

func (r *runner) run(ctx context.Context) (err error) {
	if err := errors.Join(checkPath(r.WorkDir), checkPath(r.Tree.Module)); err != nil {
		return err
	}
	if r.vmlinux, err = r.open(r.Vmlinux); err != nil {
		return err
	}
	r.result.BuildID = r.vmlinux.BuildID
	if r.exports, err = diff.ReadExports(r.vmlinux); err != nil {
		return fmt.Errorf("vmlinux: %w", err)
	}
	r.Progress(build.StagePlan, 0, 0)
	if err := r.checkCompiler(ctx); err != nil {
		return err
	}
	if r.plan, err = build.ApplyPatches(ctx, r.Tree.fixed(), r.WorkDir, r.Patches, r.Strip); err != nil {
		return err
	}
	r.note(r.plan.Notes...)
	r.result.Checks = append(r.result.Checks, fmt.Sprintf("patch files that fit without fuzz: %d; files that they change: %d", len(r.Patches), len(r.plan.Changes)))
	if err := r.findUnits(ctx); err != nil {
		return err
	}
	for _, u := range r.units {
		r.result.Sources = append(r.result.Sources, u.Source)
	}
	if r.DryRun {
		return nil
	}
	r.Progress(build.StageCompile, 0, 2*len(r.units))
	if err := r.Tree.record(ctx, r.units); err != nil {
		return err
	}
	if err := r.checkExports(); err != nil {
		return err
	}
	if err := r.compile(ctx); err != nil {
		return err
	}
	r.Progress(build.StageDiff, 0, 0)
	if err := r.compare(ctx); err != nil {
		return err
	}
	r.Progress(stageLink, 0, 0)
	dir := filepath.Join(r.WorkDir, "module")
	if r.result.Module, err = r.Tree.link(ctx, dir, r.Name, r.result.Livepatch, r.exports); err != nil {
		return err
	}
	linked, err := object.Read(bytes.NewReader(r.result.Module))
	if err != nil {
		return fmt.Errorf("linked module: %w", err)
	}
	if err := checkTables(linked, r.vmlinux); err != nil {
		return err
	}
	if r.Key != "" {
		if r.result.Module, err = r.Tree.sign(ctx, filepath.Join(dir, "signed.ko"), r.result.Module, r.Key, r.Certificate); err != nil {
			return err
		}
	}
	if r.Listings {
		r.result.Listings, err = build.Listings(ctx, r.WorkDir, r.result.Contents, r.objects)
	}
	return err
}

// checkCompiler refuses a kernel of another compiler.
func (r *runner) checkCompiler(ctx context.Context) error {
	if r.SkipCompilerCheck {
		r.note("the compiler check is skipped")
		return nil
	}
	name, err := build.ProducerOf(ctx, r.Tree.CC, os.Environ(), "c", r.WorkDir, r.Log)
	if err != nil {
		return err
	}
	if err := build.CompilerCheck(r.Vmlinux, r.vmlinux, []string{name}); err != nil {
		return err
	}
	r.result.Checks = append(r.result.Checks, "the debuginfo is of the compiler that is here: "+name)
	return nil
}

// checkExports compares the types of exported symbols with those that were shipped.
func (r *runner) checkExports() error {
	count := 0
	for _, u := range r.units {
		if u.Module != "" {
			continue
		}
		for name, crc := range u.crcs {
			if shipped, known := r.exports[name]; known && shipped.CRC != crc {
				return &diff.Refusal{Source: u.Source, Function: name, Reason: fmt.Sprintf(
					"its type has the sum %#08x here and %#08x in the kernel that was shipped: the sources or the configuration are others", crc, shipped.CRC)}
			}
			count++
		}
	}
	if count > 0 {
		r.result.Checks = append(r.result.Checks, fmt.Sprintf("%d exported symbols of the changed files have the sums of types that were shipped", count))
	}
	return nil
}

// kpatchHeader is what fixes that were written for kpatch include.
//
//go:embed source/kpatch-macros.h
var kpatchHeader []byte

// wholeFunctions are the flags by which a task that is anywhere in the code of a patch has a
// function on its stack that the kernel's livepatch core knows: it looks for those alone
// before it lets the patch go. Without them a function could jump to a part of itself that
// is elsewhere (f.cold), or end with a jump to another one of the patch.
var wholeFunctions = []string{"-fno-reorder-blocks-and-partition", "-fno-optimize-sibling-calls"}

// compile makes two objects of each unit, without and with the fix.
func (r *runner) compile(ctx context.Context) (err error) {
	include, err := build.WriteHeader(r.WorkDir)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(include, "kpatch-macros.h"), kpatchHeader, 0o644); err != nil {
		return err
	}
	flags := append(build.DiffFlags(), wholeFunctions...)
	flags = append(flags, "-w", "-Wno-error", "-idirafter", include)
	for i := range r.units {
		dir := filepath.Join(r.WorkDir, "objects", fmt.Sprint(i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		r.objects = append(r.objects, build.Compared{Original: filepath.Join(dir, "original.o"), Patched: filepath.Join(dir, "patched.o")})
		r.recorded = append(r.recorded, r.Tree.objectPath(r.units[i]))
	}
	direct, err := r.Tree.notesAll(r.units)
	if err != nil {
		return err
	}
	if direct = direct && !r.Tree.ByMake; !direct {
		if err := r.keepRecorded(); err != nil {
			return err
		}
	}
	var originals, patched []string
	for _, o := range r.objects {
		originals, patched = append(originals, o.Original), append(patched, o.Patched)
	}
	if err := r.compileAll(ctx, originals, direct, flags); err != nil {
		return err
	}
	numbered, err := r.plan.Numbered(ctx, r.WorkDir)
	if err != nil {
		return err
	}
	back, err := r.times()
	if err != nil {
		return err
	}
	defer func() {
		// Also what was applied in part is taken back.
		if revertErr := errors.Join(r.plan.Revert(), back()); revertErr != nil {
			err = errors.Join(err, revertErr)
		}
	}()
	if err := r.plan.Apply(numbered); err != nil {
		return err
	}
	if err := r.compileAll(ctx, patched, direct, flags); err != nil {
		return fmt.Errorf("with the patches applied: %w", err)
	}
	return nil
}

// compileAll makes an object of each unit in its place of outs: directly by the commands that
// the kernel's build has noted, or by that build.
func (r *runner) compileAll(ctx context.Context, outs []string, direct bool, flags []string) error {
	if !direct {
		return r.Tree.compileByMake(ctx, r.units, outs, flags...)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(r.Tree.Jobs, 1))
	for i, u := range r.units {
		group.Go(func() error {
			err := r.Tree.compile(ctx, u, outs[i], flags...)
			r.Progress(build.StageCompile, int(r.compiled.Add(1)), 2*len(r.units))
			return err
		})
	}
	return group.Wait()
}

// keepRecorded copies the objects as they were for the shipped kernel, where the kernel's
// build makes others in their place.
func (r *runner) keepRecorded() error {
	for i, u := range r.units {
		data, err := os.ReadFile(r.Tree.objectPath(u))
		if err != nil {
			return err
		}
		r.recorded[i] = filepath.Join(filepath.Dir(r.objects[i].Original), "recorded.o")
		if err := os.WriteFile(r.recorded[i], data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// times remembers when the files to be patched were written, by which the kernel's build
// tells what is to be made again; back restores that.
func (r *runner) times() (back func() error, err error) {
	infos := map[string]os.FileInfo{}
	for _, c := range r.plan.Changes {
		path := filepath.Join(r.plan.Tree, c.Path)
		if infos[path], err = os.Stat(path); err != nil && c.Old != nil {
			return nil, err
		}
	}
	return func() error {
		var errs []error
		for path, info := range infos {
			if info != nil {
				errs = append(errs, os.Chtimes(path, info.ModTime(), info.ModTime()))
			}
		}
		return errors.Join(errs...)
	}, nil
}

// compare finds what changed.
func (r *runner) compare(ctx context.Context) error {
	touched, err := r.plan.Touched(ctx, r.WorkDir)
	if err != nil {
		return err
	}
	target := diff.KernelTarget{Kernel: diff.Kernel{Sizes: r.Tree.Sizes, IBT: r.Tree.IBT}, Vmlinux: r.vmlinux, Modules: r.files}
	var units []diff.KernelUnit
	for i, u := range r.units {
		unit := diff.KernelUnit{Module: u.Module}
		unit.Source = u.Source
		for _, part := range []struct {
			path string
			into **object.File
		}{{r.recorded[i], &unit.Recorded}, {r.objects[i].Original, &unit.Original}, {r.objects[i].Patched, &unit.Patched}} {
			if *part.into, err = r.open(part.path); err != nil {
				return err
			}
		}
		units = append(units, unit)
	}
	made, err := diff.BuildLivepatch(target, units, diff.Options{Accept: r.Accept, KeepGoing: r.KeepGoing, Touched: touched})
	if err != nil {
		return err
	}
	for i, c := range made.Contents {
		if name, err := filepath.Rel(r.Tree.fixed(), c.File); err == nil && filepath.IsLocal(name) {
			made.Contents[i].File = name
		}
	}
	r.result.Livepatch = made
	r.note(made.Notes...)
	r.result.Checks = append(r.result.Checks, made.Checks...)
	return nil
}
