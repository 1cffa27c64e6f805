package hotpatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/specgen"
	"github.com/openeuler/syscare/specgen/rpmfile"
	"github.com/openeuler/syscare/state/metadata"
)

// Request is what `syscare build` was asked for; the caller checked names.
type Request struct {
	PatchName, PatchArch, PatchVersion, PatchRelease, Description string

	Sources, Debuginfo, Patches []string
	WorkDir, Output             string
	Jobs                        int

	SkipCompilerCheck, SkipCleanup bool
	Verbose                        io.Writer // gets what goes into build.log; nil: nobody does
	KeepGoing                      bool      // find all that is refused
	DryRun                         bool      // only tell what would be compiled
	NoCache                        bool      // neither use nor keep a recorded build
	ModuleKey, ModuleCertificate   string    // files to sign a kernel's module with; "": it is not signed
	Sign                           bool      // sign the packages
	SignKey                        string    // with this key; "": what RPM's macros name
	Report                         string    // write a page about the patch to this file; "": do not
	Accept                         diff.Accept

	Front    string // path of syscare-cc
	Tool     string // version of SysCare
	Progress func(stage string, done, total int)
	Logger   *slog.Logger
}

// Result names the packages made, and tells what is in them.
type Result struct {
	PatchRPM  string          `json:"patch_rpm,omitempty"`
	SourceRPM string          `json:"source_rpm,omitempty"`
	Patch     *metadata.Patch `json:"patch,omitempty"`
	Entities  []Entity        `json:"entities,omitempty"`
	Planned   []build.Planned `json:"planned,omitempty"` // of a dry run
	Report    string          `json:"report,omitempty"`
	Checks    []string        `json:"checks,omitempty"` // what was found to be in order
	Warnings  []string        `json:"notes"`
	// Recorded says that the program was not built: an earlier build was used.
	Recorded bool `json:"recorded_before"`
}

// Entity tells what is in the patch for one target ELF file, and why.
type Entity struct {
	Name     string         `json:"name"`
	Path     string         `json:"path"`
	Contents []diff.Content `json:"contents"`
	Checks   []string       `json:"checks"`
}

// namespace is the root of the UUIDs that are derived from a build's input.
var namespace = uuid.MustParse("7a1f5a0e-7d0c-5b0e-9c53-6f1f0c1d4e2b")

// Build makes the two packages.
func Build(ctx context.Context, req Request) (result Result, err error) {
	if err := os.MkdirAll(req.Output, 0o755); err != nil {
		return Result{}, fmt.Errorf("output directory: %w", err)
	}
	w, err := newWorkspace(req.WorkDir, req.SkipCleanup, req.Verbose)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = w.close(err, ctx.Err() != nil) }()
	b := &builder{Request: req, work: w}
	defer func() {
		if cacheErr := b.leaveCache(ctx); cacheErr != nil {
			err = errors.Join(err, cacheErr)
		}
	}()
	if err := b.prepare(ctx); err != nil {
		return Result{}, stage(ctx, "Preparing build requirements", err)
	}
	entities, err := b.compile(ctx)
	if err != nil {
		return Result{}, stage(ctx, "Building patch", err)
	}
	if !b.DryRun {
		var content *specgen.Content
		if content, err = b.describe(entities); err == nil {
			result, err = b.pack(ctx, content, entities)
		}
	}
	for _, e := range entities {
		result.Entities = append(result.Entities, Entity{e.Name, e.TargetPath, e.Contents, e.Checks})
	}
	result.Checks = b.checks
	result.Warnings, result.Planned, result.Recorded = append([]string{}, b.warnings...), b.planned, b.reused
	return result, stage(ctx, "Generating packages", err)
}

// stage says in which part of the work err happened; an interruption is
// nothing but that.
func stage(ctx context.Context, name string, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%s: %w", name, context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// builder is one build under way.
type builder struct {
	Request
	work *workspace

	source   *rpmfile.Package // the target's pristine source package
	tree     *specgen.Tree
	entry    *entry           // of the cache; nil if there is none
	recorded *build.Recording // nil as long as the program was not built
	reused   bool             // recorded is of an earlier build
	planned  []build.Planned
	debug    []specgen.DebugFile
	patches  []string            // all patch files, earlier ones first
	replaces []metadata.Obsolete // packages of earlier patches that this one contains
	warnings []string
	checks   []string
	kernel   *kernelInput // nil if the patch is for programs
}

func (b *builder) say(name string) {
	if b.Progress != nil {
		b.Progress(name, 0, 0)
	}
}

// prepare opens and unpacks the input. A source package that is a patch's own
// gives the pristine one and the earlier patch files.
func (b *builder) prepare(ctx context.Context) error {
	b.say("Preparing build requirements")
	path, k, err := b.findKernel()
	if err != nil {
		return err
	}
	b.kernel = k
	earlier, err := specgen.OpenHotpatchSource(ctx, path, b.work.path("package"))
	switch {
	case err == nil:
		path = earlier.Source
		b.patches = append(b.patches, earlier.Patches...)
		b.replaces = append(b.replaces, earlier.Patch.Obsoletes...)
		if earlier.Patch.Name == b.PatchName {
			b.PatchVersion = nextVersion(b.PatchVersion, earlier.Patch.Version)
		} else {
			b.replaces = append(b.replaces, metadata.Obsolete{Name: earlier.Patch.PackageName(), Version: earlier.Patch.Version, Release: earlier.Patch.Release})
		}
	case !errors.Is(err, specgen.ErrNotHotpatchSource):
		return err
	}
	plain := b.work.path("patches")
	if err := os.Mkdir(plain, 0o755); err != nil {
		return err
	}
	if b.Patches, err = specgen.PatchFiles(b.Patches, plain); err != nil {
		return err
	}
	b.patches = append(b.patches, b.Patches...)
	if b.source, err = rpmfile.Open(path); err != nil {
		return err
	}
	if err := b.source.WantSource(); err != nil {
		return err
	}
	if k != nil {
		if k.source == nil {
			k.source = b.source
		}
		return b.prepareKernel(ctx)
	}
	if err := b.findTree(ctx); err != nil {
		return err
	}
	for i, path := range b.Debuginfo {
		dir := b.work.path("package", "debuginfo."+strconv.Itoa(i))
		files, err := specgen.ExtractDebuginfo(ctx, path, b.source, dir)
		if err != nil {
			return err
		}
		b.debug = append(b.debug, files...)
	}
	return nil
}

// findTree opens the recorded build of the source package, or unpacks it to be built.
func (b *builder) findTree(ctx context.Context) (err error) {
	dir := b.work.path("package")
	if !b.NoCache {
		if b.entry, err = openEntry(b.source, b.Tool, cacheRoom); err != nil {
			b.Logger.Info("the build is not kept", "reason", err)
		}
	}
	if b.entry != nil {
		dir = b.entry.dir
		tree, recording, found, err := b.entry.open()
		if found {
			b.tree, b.recorded, b.reused = tree, recording, true
			_, err = fmt.Fprintf(b.work.log, "using the build that was recorded in %s\n", dir)
			return err
		}
		if err != nil {
			return fmt.Errorf("the recorded build in %s cannot be used; remove that directory, or use --no-cache: %w", dir, err)
		}
	}
	b.tree, err = specgen.UnpackSource(ctx, b.source, dir)
	return err
}

// record builds the program once, unless that was done before.
func (b *builder) record(ctx context.Context) error {
	if b.recorded != nil {
		return nil
	}
	b.say(build.StageRecord)
	dir := b.work.path("patch")
	if b.entry != nil {
		dir = b.entry.dir
	}
	var err error
	b.recorded, err = build.Record(ctx, build.Options{WorkDir: dir, Front: b.Front}, func(ctx context.Context, env []string) error {
		return b.tree.Build(ctx, env, b.Jobs, b.work.log)
	})
	b.warnUnknown(b.tree)
	if err == nil && b.entry != nil {
		err = b.entry.complete(b.tree, b.recorded.Units())
	}
	return err
}

// warnUnknown tells which build requirements of a package nobody has looked for.
func (b *builder) warnUnknown(tree *specgen.Tree) {
	if len(tree.Unknown) > 0 {
		b.warnings = append(b.warnings, "build requirements that cannot be looked for on this machine: "+strings.Join(tree.Unknown, ", "))
	}
}

// leaveCache gives the recorded build back. Its tree is what it was after each fix;
// of one that was interrupted nobody knows.
func (b *builder) leaveCache(ctx context.Context) error {
	if b.entry == nil {
		return nil
	}
	return b.entry.close(ctx.Err() == nil)
}

// nextVersion is the version after previous, or the one asked for if that is
// higher. Versions that are no numbers are taken as asked for.
func nextVersion(asked, previous string) string {
	a, errA := strconv.ParseUint(asked, 10, 32)
	p, errP := strconv.ParseUint(previous, 10, 32)
	if errA != nil || errP != nil || a > p {
		return asked
	}
	return strconv.FormatUint(p+1, 10)
}

// identity is the UUID of the patch: the same for the same input.
func (b *builder) identity() (uuid.UUID, error) {
	text := fmt.Sprintf("%s %s %s-%s-%s\n", b.source.FullName(), b.PatchArch, b.PatchName, b.PatchVersion, b.PatchRelease)
	for _, path := range b.patches {
		digest, err := fileDigest(path)
		if err != nil {
			return uuid.Nil, err
		}
		text += digest + "\n"
	}
	for _, d := range b.debug {
		text += string(d.BuildID) + "\n"
	}
	if len(b.Accept.Data)+len(b.Accept.Layouts) > 0 {
		text += fmt.Sprintf("%q\n", b.Accept)
	}
	return uuid.NewSHA1(namespace, []byte(text)), nil
}

// entityIdentity is the UUID of the patch's part for one target ELF.
func entityIdentity(patch uuid.UUID, id object.BuildID) string {
	return uuid.NewSHA1(patch, []byte(id)).String()
}

// compile makes the patch objects.
func (b *builder) compile(ctx context.Context) ([]build.Entity, error) {
	strip, err := b.tree.Strip()
	if err != nil {
		return nil, err
	}
	id, err := b.identity()
	if err != nil {
		return nil, err
	}
	if b.kernel != nil {
		return b.compileKernel(ctx, id, strip)
	}
	if err := b.record(ctx); err != nil {
		return nil, err
	}
	req := build.Request{
		WorkDir: b.work.path("patch"), Front: b.Front, Tree: b.tree.Sources, Strip: strip, Patches: b.patches,
		Rebuild: func(ctx context.Context, env []string) error {
			return b.tree.Rebuild(ctx, env, b.Jobs, b.work.log)
		},
		Jobs: b.Jobs, SkipCompilerCheck: b.SkipCompilerCheck, Accept: b.Accept, DryRun: b.DryRun, KeepGoing: b.KeepGoing, Listings: b.Report != "", Tool: b.Tool, Log: b.work.log, Logger: b.Logger, Progress: b.Progress,
		UUID: func(target object.BuildID) string { return entityIdentity(id, target) },
	}
	for _, d := range b.debug {
		req.Debug = append(req.Debug, build.DebugFile{Path: d.Path, TargetPath: d.TargetPath, Name: filepath.Base(d.TargetPath)})
	}
	made, err := b.recorded.Patch(ctx, req)
	if err != nil {
		return nil, err
	}
	b.warnings, b.planned, b.checks = append(b.warnings, made.Notes...), made.Planned, made.Checks
	return made.Entities, nil
}
