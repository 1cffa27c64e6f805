package metadata

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/openeuler/syscare/engine/object"
)

// SchemaVersion is the version of patch.json that this package reads and
// writes.
const SchemaVersion = 1

// FileName is the name of the metadata file in a patch directory.
const FileName = "patch.json"

// MaxSize bounds patch.json in bytes.
const MaxSize = 4 << 20

// ErrCorrupt says that metadata breaks a rule of this package.
var ErrCorrupt = errors.New("patch metadata is not valid")

// Type is what a patch patches.
type Type string

const (
	UserPatch   Type = "UserPatch"
	KernelPatch Type = "KernelPatch"
)

// Package is an RPM package: the target of a patch.
type Package struct {
	Name    string `json:"name"`
	Epoch   string `json:"epoch,omitempty"` // "" if the package has none
	Version string `json:"version"`
	Release string `json:"release"`
	Arch    string `json:"arch"`
}

// FullName is name-version-release, as the manual names targets.
func (p Package) FullName() string { return p.Name + "-" + p.Version + "-" + p.Release }

// EVR is [epoch:]version-release, as RPM dependencies spell it.
func (p Package) EVR() string {
	evr := p.Version + "-" + p.Release
	if p.Epoch != "" {
		evr = p.Epoch + ":" + evr
	}
	return evr
}

// Entity is the part of a patch for one ELF file.
type Entity struct {
	UUID      string         `json:"uuid"`
	Name      string         `json:"name"`     // file name of the target ELF, e.g. "redis-server"
	Path      string         `json:"path"`     // installed path of the target ELF, "" if unknown
	BuildID   object.BuildID `json:"build_id"` // of the target ELF
	File      string         `json:"file"`     // patch object, a plain name in the patch directory
	Digest    string         `json:"digest"`   // SHA-256 of that file, hexadecimal
	Functions []string       `json:"functions"`
}

// SourcePatch is one patch file that a patch was built from.
type SourcePatch struct {
	Name   string `json:"name"`   // file name
	Digest string `json:"digest"` // SHA-256, hexadecimal
}

// Patch describes one patch.
type Patch struct {
	Schema      int           `json:"schema"`
	UUID        string        `json:"uuid"`
	Name        string        `json:"name"` // e.g. "HP001"
	Version     string        `json:"version"`
	Release     string        `json:"release"`
	Arch        string        `json:"arch"`
	Type        Type          `json:"type"`
	Target      Package       `json:"target"`
	Entities    []Entity      `json:"entities"`
	Digest      string        `json:"digest"` // see ComputeDigest
	License     string        `json:"license"`
	Description string        `json:"description"`
	Patches     []SourcePatch `json:"patches"` // in order of application
	CVEs        []string      `json:"cves,omitempty"`
	// Obsoletes are the packages whose patches this one contains.
	Obsoletes []Obsolete `json:"obsoletes,omitempty"`
}

// Obsolete is a package that another one takes the place of, up to a version.
type Obsolete struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Release string `json:"release"`
}

// FullName is the patch's full identifier, e.g. "redis-6.2.5-1/HP001-1-1".
func (p *Patch) FullName() string { return p.Target.FullName() + "/" + p.NameVersionRelease() }

// NameVersionRelease is e.g. "HP001-1-1".
func (p *Patch) NameVersionRelease() string { return p.Name + "-" + p.Version + "-" + p.Release }

// PackageName is the RPM name of the patch's package.
func (p *Patch) PackageName() string { return "patch-" + p.SourceName() }

// SourceName is the RPM name of the patch's source package. Versions may have
// characters that names must not have.
func (p *Patch) SourceName() string {
	return strings.NewReplacer("~", "_", "^", "+").Replace(p.Target.FullName() + "-" + p.Name)
}

// ComputeDigest is the SHA-256 over the target's build IDs and the digests of
// all entity files and source patches, in order: two patches with the same
// digest do the same.
func (p *Patch) ComputeDigest() string {
	h := sha256.New()
	for _, e := range p.Entities {
		fmt.Fprintf(h, "entity %s %s %s\n", e.Name, e.BuildID, e.Digest)
	}
	for _, s := range p.Patches {
		fmt.Fprintf(h, "patch %s\n", s.Digest)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Encode gives patch.json for p after checking it.
func (p *Patch) Encode() ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(p, "", "  ")
	return append(data, '\n'), err
}

// Parse reads patch.json.
func Parse(data []byte) (*Patch, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrCorrupt, MaxSize)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	p := new(Patch)
	if err := dec.Decode(p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: data after its end", ErrCorrupt)
	}
	return p, p.Check()
}

var (
	// nameRule is what RPM allows in names, without the hyphen that separates
	// the parts of a version.
	nameRule    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~^-]{0,127}$`)
	versionRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~^]{0,127}$`)
	epochRule   = regexp.MustCompile(`^[0-9]{0,10}$`)
	sha256Rule  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// ValidName reports whether s can name a patch: RPM's rule for package names.
func ValidName(s string) bool { return nameRule.MatchString(s) }

// ValidVersion reports whether s can be a version or release: RPM's rule.
func ValidVersion(s string) bool { return versionRule.MatchString(s) }

// Check tells the first rule that p breaks, as an ErrCorrupt.
func (p *Patch) Check() error {
	if err := p.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

func (p *Patch) check() error {
	if p.Schema != SchemaVersion {
		return fmt.Errorf("schema %d, this program reads schema %d", p.Schema, SchemaVersion)
	}
	if err := checkUUID(p.UUID); err != nil {
		return err
	}
	for what, name := range map[string]string{"name": p.Name, "target name": p.Target.Name, "architecture": p.Arch} {
		if !ValidName(name) {
			return fmt.Errorf("%s %q is not allowed in RPM names", what, name)
		}
	}
	for what, version := range map[string]string{
		"version": p.Version, "release": p.Release, "target version": p.Target.Version, "target release": p.Target.Release,
	} {
		if !ValidVersion(version) {
			return fmt.Errorf("%s %q is not allowed in RPM versions", what, version)
		}
	}
	if !epochRule.MatchString(p.Target.Epoch) {
		return fmt.Errorf("target epoch %q is not a number", p.Target.Epoch)
	}
	if p.Type != UserPatch && p.Type != KernelPatch {
		return fmt.Errorf("type %q is unknown", p.Type)
	}
	if len(p.Entities) == 0 {
		return errors.New("no entity")
	}
	files := map[string]bool{FileName: true}
	for _, e := range p.Entities {
		if err := checkUUID(e.UUID); err != nil {
			return fmt.Errorf("entity %q: %w", e.Name, err)
		}
		if !nameRule.MatchString(e.File) || files[e.File] {
			return fmt.Errorf("entity %q: file name %q is not allowed or used twice", e.Name, e.File)
		}
		files[e.File] = true
		if e.Name == "" || strings.ContainsAny(e.Name, "/\n\x00") {
			return fmt.Errorf("entity name %q is not a file name", e.Name)
		}
		if id, err := object.ParseBuildID(string(e.BuildID)); err != nil || id != e.BuildID {
			return fmt.Errorf("entity %q: build ID %q is not lower-case hexadecimal", e.Name, e.BuildID)
		}
		if !sha256Rule.MatchString(e.Digest) {
			return fmt.Errorf("entity %q: digest %q is not a SHA-256", e.Name, e.Digest)
		}
	}
	for _, o := range p.Obsoletes {
		if !ValidName(o.Name) || !ValidVersion(o.Version) || !ValidVersion(o.Release) {
			return fmt.Errorf("obsolete package %q %q %q is not allowed in RPM names and versions", o.Name, o.Version, o.Release)
		}
	}
	for _, s := range p.Patches {
		if s.Name == "" || strings.ContainsAny(s.Name, "/\n\x00") || !sha256Rule.MatchString(s.Digest) {
			return fmt.Errorf("patch file %q: name or digest is not valid", s.Name)
		}
	}
	if p.Digest != p.ComputeDigest() {
		return errors.New("the digest does not match the entities and patch files")
	}
	return nil
}

func checkUUID(s string) error {
	if id, err := uuid.Parse(s); err != nil || id.String() != s {
		return fmt.Errorf("UUID %q is not in its canonical form", s)
	}
	return nil
}
