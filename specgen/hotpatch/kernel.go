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

// kernelInput is what a patch of a kernel is made from.
type kernelInput struct {
	*specgen.Kernel
	tree *kernelbuild.Tree
}

// isKernel reports whether the debuginfo packages are those of a kernel.
func (b *builder) isKernel() (bool, error) {
	for _, path := range b.Debuginfo {
		p, err := rpmfile.Open(path)
		if err != nil {
			return false, err
		}
		if specgen.IsKernel(p) {
			return true, nil
		}
	}
	return false, nil
}

// prepareKernel unpacks the packages of a kernel and prepares its sources, or opens what an
// earlier build has prepared.
func (b *builder) prepareKernel(ctx context.Context) (err error) {
	dir := b.work.path("package")
	if !b.NoCache {
		if b.entry, err = openEntry(b.source, b.Tool, b.Debuginfo...); err != nil {
			b.Logger.Info("the prepared sources are not kept", "reason", err)
		}
	}
	debug := filepath.Join(dir, "debuginfo")
	if b.entry != nil {
		debug = filepath.Join(b.entry.dir, "debuginfo")
		dir = b.entry.dir
		if b.tree, b.reused, err = b.entry.openTree(); err != nil {
			return fmt.Errorf("what was prepared in %s cannot be used; remove that directory, or use --no-cache: %w", dir, err)
		}
	}
	b.kernel = &kernelInput{tree: &kernelbuild.Tree{Out: filepath.Join(dir, "out"), Jobs: b.Jobs, Log: build.NewLog(b.work.log)}}
	if b.reused {
		b.kernel.Kernel, err = specgen.OpenKernel(debug)
	} else {
		b.kernel.Kernel, err = specgen.ExtractKernel(ctx, b.Debuginfo, b.source, debug)
	}
	if err != nil {
		return err
	}
	vmlinux, err := object.Open(b.kernel.Vmlinux)
	if err != nil {
		return err
	}
	defer vmlinux.Close()
	b.debug = []specgen.DebugFile{{Path: b.kernel.Vmlinux, TargetPath: b.kernel.TargetPath, BuildID: vmlinux.BuildID}}
	if b.reused {
		if b.kernel.tree.Source, err = b.tree.KernelSources(); err != nil {
			return err
		}
		return kernelbuild.Open(ctx, b.kernel.tree, vmlinux)
	}
	return b.prepareSources(ctx, dir, vmlinux)
}

// prepareSources makes the tree in which single files of the kernel are compiled.
func (b *builder) prepareSources(ctx context.Context, dir string, vmlinux *object.File) (err error) {
	b.say(stageKernel)
	if b.tree, err = specgen.UnpackSource(ctx, b.source, dir); err != nil {
		return err
	}
	if err := b.tree.Prepare(ctx, b.Jobs, b.work.log); err != nil {
		return err
	}
	t := b.kernel.tree
	if t.Source, err = b.tree.KernelSources(); err != nil {
		return fmt.Errorf("package %q: %w", b.source.Path, err)
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
		if config, err = b.tree.KernelConfig(b.kernel.Kernel, t.Source, release, b.PatchArch); err != nil {
			return err
		}
	}
	if config == nil {
		return errors.New("the configuration of the kernel is not in its debuginfo (CONFIG_IKCONFIG) nor in its sources: give the package that has it (kernel-core or kernel-devel) with --debuginfo as well")
	}
	// A configuration in the sources would keep make from building outside of them.
	if err := os.Remove(filepath.Join(t.Source, ".config")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := kernelbuild.Prepare(ctx, t, vmlinux, config); err != nil {
		return err
	}
	if b.entry != nil {
		return b.entry.complete(b.tree, nil)
	}
	return nil
}

// compileKernel makes the livepatch module.
func (b *builder) compileKernel(ctx context.Context, id uuid.UUID, strip int) ([]build.Entity, error) {
	entity := entityIdentity(id, b.debug[0].BuildID)
	made, err := kernelbuild.Build(ctx, kernelbuild.Request{
		Tree: b.kernel.tree, Vmlinux: b.kernel.Vmlinux, Modules: b.kernel.Modules, WorkDir: b.work.path("patch"),
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
