package hotpatch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/engine/kernel"
	"github.com/openeuler/syscare/engine/kernelbuild"
	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/specgen"
	"github.com/openeuler/syscare/specgen/rpmfile"
)

// stageKernel is the stage of a build that is made once for each kernel.
const stageKernel = "Preparing the kernel's sources"

// kernelInput is what a patch of a kernel, or of a module beside it, is made from.
type kernelInput struct {
	*specgen.Kernel
	tree      *kernelbuild.Tree
	source    *rpmfile.Package // of the kernel
	debuginfo []string         // of the kernel, and files of its other packages
	modules   []string         // debuginfo packages of modules beside the kernel
	prepared  *specgen.Tree    // the kernel's sources

	others []kernelbuild.ModuleFile // those of the kernel, where the patch is for one beside it
}

// findKernel looks for a kernel among the packages: nil if the patch is for programs. With
// two source packages one is the kernel's, and the patch is for modules of the other, whose
// path it gives.
func (b *builder) findKernel() (target string, k *kernelInput, err error) {
	var others []*rpmfile.Package
	built := "" // the name of the source package that the kernel was built from
	for _, path := range b.Debuginfo {
		p, err := rpmfile.Open(path)
		if err != nil {
			return "", nil, err
		}
		switch {
		case !specgen.IsKernel(p):
			others = append(others, p)
		case k != nil:
			return "", nil, fmt.Errorf("--debuginfo: %s and %s are both of kernels: give those of one", k.debuginfo[0], path)
		default:
			k, built = &kernelInput{debuginfo: []string{path}}, p.SourceRPM
		}
	}
	if len(b.Sources) > 2 || len(b.Sources) == 2 && k == nil {
		return "", nil, fmt.Errorf("%d source packages: give one, or that of a module and that of the kernel with the debuginfo packages of both", len(b.Sources))
	}
	if len(b.Sources) == 1 {
		if k != nil {
			for _, p := range others {
				k.debuginfo = append(k.debuginfo, p.Path)
			}
		}
		return b.Sources[0], k, nil
	}
	for i, path := range b.Sources {
		p, err := rpmfile.Open(path)
		if err != nil {
			return "", nil, err
		}
		if p.FullName()+".src.rpm" == built {
			k.source, target = p, b.Sources[1-i]
		}
	}
	if k.source == nil {
		return "", nil, fmt.Errorf("--source: none of the packages is %s, which %s was built from", built, k.debuginfo[0])
	}
	for _, p := range others {
		if p.SourceRPM == built {
			k.debuginfo = append(k.debuginfo, p.Path)
		} else {
			k.modules = append(k.modules, p.Path)
		}
	}
	if len(k.modules) == 0 {
		return "", nil, errors.New("--debuginfo: that of the module is missing")
	}
	return target, k, nil
}

// prepareKernel unpacks the packages of a kernel and prepares its sources, or opens what an
// earlier build has prepared.
func (b *builder) prepareKernel(ctx context.Context) (err error) {
	dir := b.work.path("package")
	if !b.NoCache {
		if b.entry, err = openEntry(b.kernel.source, b.Tool, kernelRoom, b.kernel.debuginfo...); err != nil {
			b.Logger.Info("the prepared sources are not kept", "reason", err)
		}
	}
	debug := filepath.Join(dir, "debuginfo")
	k := b.kernel
	if b.entry != nil {
		dir, debug = b.entry.dir, filepath.Join(b.entry.dir, "debuginfo")
		if k.prepared, b.reused, err = b.entry.openTree(); err != nil {
			return fmt.Errorf("what was prepared in %s cannot be used; remove that directory, or use --no-cache: %w", dir, err)
		}
	}
	k.tree = &kernelbuild.Tree{Out: filepath.Join(dir, "out"), Jobs: b.Jobs, Log: build.NewLog(b.work.log)}
	if b.reused {
		k.Kernel, err = specgen.OpenKernel(debug)
	} else {
		k.Kernel, err = specgen.ExtractKernel(ctx, k.debuginfo, k.source, debug)
	}
	if err != nil {
		return err
	}
	vmlinux, err := object.Open(k.Vmlinux)
	if err != nil {
		return err
	}
	defer vmlinux.Close()
	b.debug = []specgen.DebugFile{{Path: k.Vmlinux, TargetPath: k.TargetPath, BuildID: vmlinux.BuildID}}
	if b.reused {
		if k.tree.Source, err = k.prepared.KernelSources(); err == nil {
			err = kernelbuild.Open(ctx, k.tree, vmlinux)
		}
	} else {
		err = b.prepareSources(ctx, dir, vmlinux)
	}
	if err != nil {
		return err
	}
	if len(k.modules) > 0 {
		return b.prepareModule(ctx)
	}
	b.tree = k.prepared
	return nil
}

// prepareSources makes the tree in which single files of the kernel are compiled.
func (b *builder) prepareSources(ctx context.Context, dir string, vmlinux *object.File) (err error) {
	b.say(stageKernel)
	k := b.kernel
	if k.prepared, err = specgen.UnpackSource(ctx, k.source, dir); err != nil {
		return err
	}
	err = k.prepared.Prepare(ctx, b.Jobs, b.work.log)
	b.warnUnknown(k.prepared)
	if err != nil {
		return err
	}
	if k.tree.Source, err = k.prepared.KernelSources(); err != nil {
		return fmt.Errorf("package %q: %w", k.source.Path, err)
	}
	config, err := kernelbuild.ConfigOf(vmlinux)
	if err != nil {
		return err
	}
	if config == nil {
		release, err := kernelbuild.ReadRelease(vmlinux)
		if err != nil {
			return err
		}
		if config, err = k.prepared.KernelConfig(k.Kernel, k.tree.Source, release, b.PatchArch); err != nil {
			return err
		}
	}
	if config == nil {
		return errors.New("the configuration of the kernel is not in its debuginfo (CONFIG_IKCONFIG) nor in its sources: give the package that has it (kernel-core or kernel-devel) with --debuginfo as well")
	}
	// A configuration in the sources would keep make from building outside of them.
	if err := os.Remove(filepath.Join(k.tree.Source, ".config")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := kernelbuild.Prepare(ctx, k.tree, vmlinux, config); err != nil {
		return err
	}
	if b.entry != nil {
		return b.entry.complete(k.prepared, nil)
	}
	return nil
}

// prepareModule unpacks the packages of modules beside the kernel.
func (b *builder) prepareModule(ctx context.Context) (err error) {
	k := b.kernel
	if b.tree, err = specgen.UnpackSource(ctx, b.source, b.work.path("package", "module")); err != nil {
		return err
	}
	err = b.tree.Prepare(ctx, b.Jobs, b.work.log)
	b.warnUnknown(b.tree)
	if err != nil {
		return err
	}
	if k.tree.Module, err = b.tree.ModuleSources(); err != nil {
		return fmt.Errorf("package %q: %w", b.source.Path, err)
	}
	k.others = k.Modules
	k.Modules, err = specgen.ExtractModules(ctx, k.modules, b.source, b.work.path("package", "module-debuginfo"))
	return err
}

// compileKernel makes the livepatch module.
func (b *builder) compileKernel(ctx context.Context, id uuid.UUID, strip int) ([]build.Entity, error) {
	entity := entityIdentity(id, b.debug[0].BuildID)
	made, err := kernelbuild.Build(ctx, kernelbuild.Request{
		Tree: b.kernel.tree, Vmlinux: b.kernel.Vmlinux, Modules: b.kernel.Modules, Others: b.kernel.others, WorkDir: b.work.path("patch"),
		Patches: b.patches, Strip: strip, Name: kernel.NameFor(entity),
		SkipCompilerCheck: b.SkipCompilerCheck, Accept: b.Accept, DryRun: b.DryRun, KeepGoing: b.KeepGoing, Listings: b.Report != "",
		Key: b.ModuleKey, Certificate: b.ModuleCertificate, Log: b.work.log, Logger: b.Logger, Progress: b.Progress,
	})
	if err != nil {
		return nil, err
	}
	b.warnings, b.checks = append(b.warnings, made.Notes...), made.Checks
	if b.DryRun {
		b.planned = []build.Planned{{Name: "vmlinux", TargetPath: b.kernel.TargetPath, Sources: made.Sources}}
		return nil, nil
	}
	return []build.Entity{{
		UUID: entity, Name: "vmlinux", TargetPath: b.kernel.TargetPath, BuildID: made.BuildID,
		Object: made.Module, Functions: made.Functions(), Contents: made.Contents, Listings: made.Listings,
	}}, nil
}
