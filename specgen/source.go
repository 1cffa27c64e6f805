package specgen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/openeuler/syscare/specgen/rpmfile"
	"github.com/openeuler/syscare/state/metadata"
)

// WriteSource writes the patch's source package into dir by rpmbuild and gives
// its path. What it needs on the way is below work; commands and their output
// go to log.
func WriteSource(ctx context.Context, c *Content, dir, work string, log io.Writer) (path string, err error) {
	if err := c.check(); err != nil {
		return "", err
	}
	top, err := os.MkdirTemp(work, "source")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(top)) }()
	spec, err := c.lay(top)
	if err != nil {
		return "", err
	}
	seconds := strconv.FormatInt(c.BuildTime.Unix(), 10)
	argv := append([]string{"rpmbuild", "-bs", "--nodeps", "--target", c.Patch.Arch}, directories(top)...)
	for _, macro := range []string{
		"use_source_date_epoch_as_buildtime 1", "clamp_mtime_to_source_date_epoch 1", "_buildhost " + buildHost,
		"_source_payload w0.gzdio", // nearly all of it is a package that is compressed already
	} {
		argv = append(argv, "--define", macro)
	}
	err = runCommand(ctx, log, append(os.Environ(), "SOURCE_DATE_EPOCH="+seconds, "LC_ALL=C"), append(argv, spec)...)
	if err != nil {
		return "", fmt.Errorf("cannot write the source package: %w", err)
	}
	made := filepath.Join(top, "SRPMS", c.Patch.SourceName()+"-"+c.Patch.Version+"-"+c.Patch.Release+".src.rpm")
	path = filepath.Join(dir, SourceFile(c.Patch))
	if err := os.Rename(made, path); err != nil {
		return "", fmt.Errorf("cannot write the source package: %w", err)
	}
	return path, nil
}

// lay puts the sources and the spec where rpmbuild looks for them, with the
// times and modes that the package is to have.
func (c *Content) lay(top string) (spec string, err error) {
	installed, err := c.installed()
	if err != nil {
		return "", err
	}
	patches, err := c.patchFiles()
	if err != nil {
		return "", err
	}
	sources := append([]file{{name: filepath.Base(c.Source), path: c.Source}}, patches...)
	sources = append(sources, installed...)
	names := map[string]bool{}
	for _, f := range sources {
		if !sourceName.MatchString(f.name) || names[f.name] {
			return "", fmt.Errorf("%w: file name %q is used twice or has characters that RPM does not take; rename the file", ErrContent, f.name)
		}
		names[f.name] = true
		to := filepath.Join(top, "SOURCES", f.name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return "", err
		}
		if f.data != nil {
			err = os.WriteFile(to, f.data, 0o644)
		} else {
			err = copyFile(f.path, to)
		}
		if err == nil {
			err = os.Chtimes(to, c.BuildTime, c.BuildTime)
		}
		if err != nil {
			return "", err
		}
	}
	text, err := c.spec(sources, installed)
	if err != nil {
		return "", err
	}
	spec = filepath.Join(top, "SPECS", c.Patch.SourceName()+".spec")
	if err := os.MkdirAll(filepath.Dir(spec), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
		return "", err
	}
	return spec, os.Chtimes(spec, c.BuildTime, c.BuildTime)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// HotpatchSource is what the source package of a patch was made from.
type HotpatchSource struct {
	Patch   *metadata.Patch
	Source  string   // path of the target's pristine source package
	Patches []string // paths of its patch files, in order
}

// OpenHotpatchSource unpacks the source package of a patch into dir. Another
// package gives ErrNotHotpatchSource.
func OpenHotpatchSource(ctx context.Context, path, dir string) (*HotpatchSource, error) {
	p, err := rpmfile.Open(path)
	if err != nil {
		return nil, err
	}
	ours := false
	for _, name := range p.Files {
		ours = ours || name == metadata.FileName
	}
	if !p.Source || !ours {
		return nil, ErrNotHotpatchSource
	}
	dir = filepath.Join(dir, "hotpatch")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	entries, err := p.Extract(ctx, dir, rpmfile.ExtractOptions{})
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(dir, metadata.FileName))
	if err != nil {
		return nil, err
	}
	h := &HotpatchSource{}
	if h.Patch, err = metadata.Parse(data); err != nil {
		return nil, fmt.Errorf("package %q: %w", path, err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name) != ".rpm" {
			continue
		}
		if h.Source != "" {
			return nil, fmt.Errorf("package %q: %w: it holds several source packages", path, ErrSource)
		}
		h.Source = filepath.Join(dir, e.Name)
	}
	if h.Source == "" {
		return nil, fmt.Errorf("package %q: %w: it holds no source package of its target", path, ErrSource)
	}
	for _, s := range h.Patch.Patches {
		file := filepath.Join(dir, s.Name)
		if _, err := readChecked(file, s.Digest); err != nil {
			return nil, fmt.Errorf("package %q: %w", path, err)
		}
		h.Patches = append(h.Patches, file)
	}
	return h, nil
}
