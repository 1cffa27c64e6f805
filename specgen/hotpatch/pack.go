package hotpatch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/specgen"
	"github.com/openeuler/syscare/specgen/report"
	"github.com/openeuler/syscare/state/metadata"
)

// describe writes the patch objects into the work directory and makes the
// metadata.
func (b *builder) describe(entities []build.Entity) (*specgen.Content, error) {
	id, err := b.identity()
	if err != nil {
		return nil, err
	}
	p := &metadata.Patch{
		Schema: metadata.SchemaVersion, UUID: id.String(), Name: b.PatchName, Version: b.PatchVersion, Release: b.PatchRelease,
		Arch: b.PatchArch, Type: metadata.UserPatch, License: b.source.License, Description: b.Description, Obsoletes: b.replaces,
		Target: metadata.Package{
			Name: b.source.Name, Epoch: b.source.Epoch, Version: b.source.Version, Release: b.source.Release, Arch: b.PatchArch,
		},
	}
	if b.kernel != nil {
		p.Type = metadata.KernelPatch
	}
	content := &specgen.Content{Patch: p, Patches: b.patches, Source: b.source.Path}
	if content.BuildTime, err = specgen.BuildTime(b.source.BuildTime); err != nil {
		return nil, err
	}
	for _, e := range entities {
		path := b.work.path("patch", e.UUID)
		if err := os.WriteFile(path, e.Object, 0o644); err != nil {
			return nil, err
		}
		digest, err := fileDigest(path)
		if err != nil {
			return nil, err
		}
		p.Entities = append(p.Entities, metadata.Entity{
			UUID: e.UUID, Name: e.Name, Path: e.TargetPath, BuildID: e.BuildID, File: e.UUID, Digest: digest, Functions: e.Functions,
		})
		content.Objects = append(content.Objects, path)
	}
	texts := []string{p.Name, p.Description}
	for _, path := range b.patches {
		digest, err := fileDigest(path)
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		p.Patches = append(p.Patches, metadata.SourcePatch{Name: filepath.Base(path), Digest: digest})
		texts = append(texts, filepath.Base(path), string(data))
	}
	p.CVEs = specgen.FindCVEs(texts...)
	p.Digest = p.ComputeDigest()
	return content, nil
}

// pack writes both packages, and the report if there is to be one, and moves them to
// their places together.
func (b *builder) pack(ctx context.Context, content *specgen.Content, entities []build.Entity) (result Result, err error) {
	b.say("Generating packages")
	binary, err := specgen.WriteBinary(content, b.work.path("output"))
	if err != nil {
		return Result{}, err
	}
	source, err := specgen.WriteSource(ctx, content, b.work.path("output"), b.work.path("package"), b.work.log)
	if err != nil {
		return Result{}, err
	}
	if b.Sign || b.SignKey != "" {
		b.say("Signing packages")
		if err := specgen.Sign(ctx, b.work.log, b.SignKey, binary, source); err != nil {
			return Result{}, err
		}
	}
	result.Patch = content.Patch
	parts := []struct {
		made, dir string
		final     *string
	}{{binary, b.Output, &result.PatchRPM}, {source, b.Output, &result.SourceRPM}}
	if b.Report != "" {
		page := b.work.path("output", filepath.Base(b.Report))
		if err := b.writeReport(page, content, entities); err != nil {
			return Result{}, fmt.Errorf("report: %w", err)
		}
		parts = append(parts, struct {
			made, dir string
			final     *string
		}{page, filepath.Dir(b.Report), &result.Report})
	}
	for _, part := range parts {
		if *part.final, err = publish(part.made, part.dir); err != nil {
			for _, done := range []string{result.PatchRPM, result.SourceRPM} {
				if done != "" {
					err = errors.Join(err, os.Remove(done))
				}
			}
			return Result{}, err
		}
	}
	return result, nil
}

// writeReport writes the page about the patch.
func (b *builder) writeReport(path string, content *specgen.Content, entities []build.Entity) error {
	in := report.Input{
		Patch: content.Patch, Source: filepath.Base(content.Source), Entities: entities, Checks: b.checks, Notes: b.warnings, Tool: b.Tool,
	}
	for _, p := range b.patches {
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		in.Fixes = append(in.Fixes, report.Fix{Name: filepath.Base(p), Text: string(text)})
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(report.Write(f, in), f.Close())
}
