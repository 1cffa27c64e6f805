package rpmfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/cavaliergopher/rpm"
)

// Tags of the header, from RPM's rpmtag.h.
const (
	tagEpoch         = 1003
	tagArch          = 1022
	tagSourceRPM     = 1044
	tagProvideName   = 1047
	tagSourcePackage = 1106
	tagDirIndexes    = 1116
	tagBaseNames     = 1117
	tagDirNames      = 1118
	tagPayloadFormat = 1124
	tagCompressor    = 1125
)

// Package is what the headers of a package file say.
type Package struct {
	Path        string
	Name        string
	Epoch       string // "" if the package has none
	Version     string
	Release     string
	Arch        string // of a source package: the machine it was written on
	License     string
	Summary     string
	Description string
	Source      bool   // a source package
	SourceRPM   string // of a binary package: the file name of its source package
	BuildTime   time.Time
	Files       []string // names as in the header
	Provides    []string // names of what it provides

	format, compressor string
	payload            int64 // offset in the file
}

// FullName is name-version-release.
func (p *Package) FullName() string { return p.Name + "-" + p.Version + "-" + p.Release }

// EVR is [epoch:]version-release.
func (p *Package) EVR() string {
	evr := p.Version + "-" + p.Release
	if p.Epoch != "" {
		evr = p.Epoch + ":" + evr
	}
	return evr
}

// Open reads the headers of the package file at path. Its errors are
// FileErrors.
func Open(path string) (*Package, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open package: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNotRPM
	}
	if err != nil {
		return nil, &FileError{path, err}
	}
	p, err := Read(f)
	if err != nil {
		return nil, &FileError{path, err}
	}
	p.Path = path
	return p, nil
}

// Read reads the headers of a package from r.
func Read(r io.Reader) (p *Package, err error) {
	defer recovered(&err)
	head, err := readHead(r)
	if err != nil {
		return nil, err
	}
	raw, err := rpm.Read(bytes.NewReader(head))
	if errors.Is(err, rpm.ErrNotRPMFile) {
		return nil, ErrNotRPM
	} else if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrCorrupt, err)
	}
	p = &Package{
		Name:        raw.Name(),
		Version:     raw.Version(),
		Release:     raw.Release(),
		Arch:        raw.Header.GetTag(tagArch).String(),
		License:     raw.License(),
		Summary:     raw.Summary(),
		Description: raw.Description(),
		SourceRPM:   raw.Header.GetTag(tagSourceRPM).String(),
		BuildTime:   raw.BuildTime(),
		Provides:    raw.Header.GetTag(tagProvideName).StringSlice(),
		format:      raw.Header.GetTag(tagPayloadFormat).String(),
		compressor:  raw.Header.GetTag(tagCompressor).String(),
		payload:     int64(len(head)),
	}
	if epoch := raw.Header.GetTag(tagEpoch).Int64Slice(); len(epoch) > 0 {
		p.Epoch = strconv.FormatInt(epoch[0], 10)
	}
	// RPM itself takes a package without SOURCERPM for a source package.
	p.Source = p.SourceRPM == "" || raw.Header.GetTag(tagSourcePackage).Int64() == 1
	for what, value := range map[string]string{"name": p.Name, "version": p.Version, "release": p.Release, "architecture": p.Arch} {
		if value == "" || path.Base(value) != value || value == "." || value == ".." {
			return nil, fmt.Errorf("%w (%s %q)", ErrCorrupt, what, value)
		}
	}
	p.Files, err = fileNames(&raw.Header)
	return p, err
}

func fileNames(h *rpm.Header) ([]string, error) {
	bases := h.GetTag(tagBaseNames).StringSlice()
	dirs := h.GetTag(tagDirNames).StringSlice()
	places := h.GetTag(tagDirIndexes).Int64Slice()
	if len(places) != len(bases) {
		return nil, fmt.Errorf("%w (%d files in %d directories)", ErrCorrupt, len(bases), len(places))
	}
	names := make([]string, len(bases))
	for i, base := range bases {
		if places[i] < 0 || places[i] >= int64(len(dirs)) {
			return nil, fmt.Errorf("%w (file %q has no directory)", ErrCorrupt, base)
		}
		names[i] = path.Join(dirs[places[i]], base)
	}
	return names, nil
}

// WantSource says, as an error, that p is no source package.
func (p *Package) WantSource() error {
	if !p.Source {
		return &FileError{p.Path, fmt.Errorf("%w: it is a binary package of %s; give the source package %s",
			ErrKind, p.FullName(), p.SourceRPM)}
	}
	return nil
}

// WantBinary says, as an error, that p is a source package or not for one of
// the given architectures.
func (p *Package) WantBinary(archs ...string) error {
	if p.Source {
		return &FileError{p.Path, fmt.Errorf("%w: it is the source package of %s; give the binary package",
			ErrKind, p.FullName())}
	}
	if !slices.Contains(archs, p.Arch) {
		return &FileError{p.Path, fmt.Errorf("%w: it is for %s; give the package for %v", ErrArch, p.Arch, archs)}
	}
	return nil
}
