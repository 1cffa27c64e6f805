package specgen

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/openeuler/syscare/state/metadata"
)

// PatchRoot is where patches are installed.
const PatchRoot = "/usr/lib/syscare/patches"

// Content is what the packages of one patch hold.
type Content struct {
	Patch   *metadata.Patch
	Objects []string // paths of the patch objects; base names are Entity.File
	Patches []string // paths of all patch files, in the order of Patch.Patches
	Source  string   // path of the target's pristine source package
	// BuildTime is the time in both packages: the same time gives the same
	// bytes. See BuildTime the function.
	BuildTime time.Time
}

// BuildTime is SOURCE_DATE_EPOCH if that is set, else the build time of the
// target's source package.
func BuildTime(source time.Time) (time.Time, error) {
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		return source.UTC(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q is not a number of seconds; unset or mend it", epoch)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// BinaryFile is the file name of the patch package.
func BinaryFile(p *metadata.Patch) string {
	return fmt.Sprintf("%s-%s-%s.%s.rpm", p.PackageName(), p.Version, p.Release, p.Arch)
}

// SourceFile is the file name of the patch's source package.
func SourceFile(p *metadata.Patch) string {
	return fmt.Sprintf("%s-%s-%s.%s.src.rpm", p.SourceName(), p.Version, p.Release, p.Arch)
}

// file is a file of a package, read and checked.
type file struct {
	name string
	path string // on this machine; "" for content made here
	data []byte // of small files only
}

// sourceName is what RPM can take in a Source line and a shell word.
var sourceName = regexp.MustCompile(`^[A-Za-z0-9_+,=@~^][A-Za-z0-9._+,=@~^-]*$`)

// installed gives patch.json and the patch objects in the order of the
// entities, after checking them against the metadata.
func (c *Content) installed() ([]file, error) {
	encoded, err := c.Patch.Encode()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrContent, err)
	}
	files := []file{{name: metadata.FileName, data: encoded}}
	paths := make(map[string]string)
	for _, path := range c.Objects {
		paths[filepath.Base(path)] = path
	}
	if len(c.Objects) != len(c.Patch.Entities) || len(paths) != len(c.Objects) {
		return nil, fmt.Errorf("%w: %d patch objects for %d entities", ErrContent, len(c.Objects), len(c.Patch.Entities))
	}
	for _, e := range c.Patch.Entities {
		f := file{name: e.File, path: paths[e.File]}
		if f.path == "" {
			return nil, fmt.Errorf("%w: no patch object %q", ErrContent, e.File)
		}
		if f.data, err = readChecked(f.path, e.Digest); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// patchFiles gives all patch files, in order, checked.
func (c *Content) patchFiles() ([]file, error) {
	if len(c.Patches) != len(c.Patch.Patches) {
		return nil, fmt.Errorf("%w: %d patch files, the metadata names %d", ErrContent, len(c.Patches), len(c.Patch.Patches))
	}
	var files []file
	for i, want := range c.Patch.Patches {
		data, err := readChecked(c.Patches[i], want.Digest)
		if err != nil {
			return nil, err
		}
		files = append(files, file{name: want.Name, path: c.Patches[i], data: data})
	}
	return files, nil
}

func readChecked(path, digest string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrContent, err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != digest {
		return nil, fmt.Errorf("%w: file %q is not the one that the metadata describes; build the patch again", ErrContent, path)
	}
	return data, nil
}

// check tells what RPM could not express.
func (c *Content) check() error {
	switch {
	case c.Patch.License == "":
		return fmt.Errorf("%w: it has no license; take that of the target", ErrContent)
	case strings.ContainsAny(c.Patch.License, "\r\n\x00"):
		return fmt.Errorf("%w: the license is more than one line", ErrContent)
	case c.BuildTime.Unix() <= 0 || c.BuildTime.Unix() > 1<<31-1:
		return fmt.Errorf("%w: build time %s is out of RPM's range; set SOURCE_DATE_EPOCH", ErrContent, c.BuildTime)
	}
	return nil
}

// summary is the Summary tag.
func summary(p *metadata.Patch) string {
	return "Live patch " + p.Name + " for " + p.Target.FullName()
}

// description is the text for RPM: no control characters, no lines that a spec
// would take for directives or comments, no blank ends.
func description(p *metadata.Patch) string {
	var lines []string
	text := strings.ReplaceAll(strings.ToValidUTF8(p.Description, "?"), "\r\n", "\n")
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimRight(strings.Map(printable, line), " ")
		if start := strings.TrimLeft(line, " "); strings.HasPrefix(start, "%") || strings.HasPrefix(start, "#") {
			line = "> " + start
		}
		if strings.HasSuffix(line, `\`) { // would join the next line
			line += "."
		}
		lines = append(lines, line)
	}
	if text = strings.Trim(strings.Join(lines, "\n"), "\n"); text == "" {
		return summary(p)
	}
	return text
}

func printable(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case r < ' ' || r == 0x7f:
		return -1
	}
	return r
}

// changes is the text of the changelog's one entry.
func changes(p *metadata.Patch) string {
	lines := []string{"- " + summary(p)}
	for _, s := range p.Patches {
		lines = append(lines, "- Apply "+strings.Map(printable, s.Name))
	}
	for _, cve := range p.CVEs {
		lines = append(lines, "- Fix "+cve)
	}
	return strings.Join(lines, "\n")
}
