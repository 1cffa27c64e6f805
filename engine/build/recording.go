package build

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/openeuler/syscare/engine/build/front"
	"github.com/openeuler/syscare/engine/object"
)

// Recording is what a build did.
type Recording struct {
	log        string
	units      []*Unit
	links      []*Link
	translated []*Unit // sources that became text: gcc -S, gcc -E

	objects      map[string][]*Unit        // by digest of the compiled object
	combined     map[string]*front.Record  // ld -r, by digest of the output
	transformed  map[string]string         // strip, objcopy: by digest of the output
	environments map[string][]string       // by key
	members      map[string][]front.Member // by key
	linkRecords  []*front.Record
}

// Link is an executable or a shared library that the build linked.
type Link struct {
	Path  string // where it was made, absolute
	Kept  string // copy of its contents as linked
	Units []*Unit
	// Unknown are its C and C++ objects that no recorded command made.
	Unknown []string
}

func newRecording(log string) *Recording {
	return &Recording{
		log: log, objects: map[string][]*Unit{}, combined: map[string]*front.Record{}, transformed: map[string]string{},
		environments: map[string][]string{}, members: map[string][]front.Member{},
	}
}

// Units returns the compiled units in the order of the build, those inside a
// compile-and-link command included.
func (r *Recording) Units() []*Unit { return r.units }

// Links returns the executables and shared libraries in the order of the
// build. A file that was linked twice is there twice.
func (r *Recording) Links() []*Link { return r.links }

// isProbe recognises the programs with which configure scripts ask what the
// compiler can do; nothing of them is in the product.
func isProbe(record *front.Record) bool {
	for _, s := range record.Sources {
		base := filepath.Base(s.Path)
		if strings.HasPrefix(base, "conftest") || strings.Contains(record.Dir, "/CMakeScratch/") ||
			strings.Contains(record.Dir, "/CMakeTmp") || strings.Contains(record.Dir, "/meson-private/") {
			return true
		}
	}
	return false
}

// ofUnseenCompiler recognises the assembler run of a compiler that was not
// called through the front: its source is the compiler's temporary file.
func ofUnseenCompiler(record *front.Record) bool {
	return record.Kind == front.Compile && len(record.Sources) == 1 && temporaryName.MatchString(filepath.Base(record.Sources[0].Path)) &&
		record.Sources[0].Language == front.LanguageAssembler
}

var temporaryName = regexp.MustCompile(`^(cc[0-9A-Za-z]{6}|.*-[0-9a-f]{6})\.s$`)

func (r *Recording) add(record *front.Record) error {
	if record.Exit != 0 || isProbe(record) {
		return nil
	}
	if !filepath.IsAbs(record.Dir) {
		return &IncompleteError{Command: shorten(record.Name, 200), Reason: "the record does not tell in which directory it ran"}
	}
	if record.Error != "" {
		return &IncompleteError{Command: shorten(record.Name+" "+strings.Join(record.Argv, " "), 200) + " (in " + record.Dir + ")", Reason: record.Error}
	}
	if ofUnseenCompiler(record) {
		return nil
	}
	switch record.Kind {
	case front.Compile, front.Translate:
		for i := range record.Sources {
			u, err := r.newUnit(record, i)
			if err != nil {
				return err
			}
			if record.Kind == front.Translate {
				r.translated = append(r.translated, u)
				continue
			}
			r.units = append(r.units, u)
			r.objects[u.Digest] = append(r.objects[u.Digest], u)
		}
	case front.Link:
		r.linkRecords = append(r.linkRecords, record)
		if !record.Linked {
			r.combined[record.Digest] = record
		}
	case front.Transform:
		for _, s := range record.Sources {
			if s.Digest != s.Object {
				r.transformed[s.Object] = s.Digest
			}
		}
	}
	return nil
}

func (r *Recording) environment(key string) ([]string, error) {
	if env, known := r.environments[key]; known {
		return env, nil
	}
	env, err := front.Environment(r.log, key)
	if err != nil {
		return nil, &IncompleteError{Command: "environment " + key, Reason: err.Error()}
	}
	r.environments[key] = env
	return env, nil
}

// resolve finds the units of every link.
func (r *Recording) resolve() error {
	for _, record := range r.linkRecords {
		if !record.Linked {
			continue
		}
		link := &Link{Path: absolute(record.Dir, record.Output), Kept: front.Kept(r.log, record.Digest)}
		c := &collector{recording: r, link: link, seen: map[string]bool{}, added: map[*Unit]bool{}}
		if err := c.record(record); err != nil {
			return err
		}
		r.links = append(r.links, link)
	}
	return nil
}

// collector gathers the units of one link.
type collector struct {
	recording *Recording
	link      *Link
	seen      map[string]bool // digests
	added     map[*Unit]bool
}

// record adds the sources and inputs of a linking command.
func (c *collector) record(record *front.Record) error {
	for i := range record.Sources {
		u, err := c.recording.internalUnit(record, i)
		if err != nil {
			return err
		}
		c.add(u)
	}
	for _, in := range record.Inputs {
		path := absolute(record.Dir, in.Path)
		if in.Archive == "" {
			if err := c.object(path, front.Member{Digest: in.Digest}); err != nil {
				return err
			}
			continue
		}
		members, err := c.recording.archive(in.Archive)
		if err != nil {
			return err
		}
		for _, m := range members {
			if err := c.object(path, m); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Recording) archive(key string) ([]front.Member, error) {
	if members, known := r.members[key]; known {
		return members, nil
	}
	members, err := front.Members(r.log, key)
	if err != nil {
		return nil, &IncompleteError{Command: "archive " + key, Reason: err.Error()}
	}
	r.members[key] = members
	return members, nil
}

// internalUnit returns the unit of a source inside a compile-and-link
// command, the same one each time.
func (r *Recording) internalUnit(record *front.Record, index int) (*Unit, error) {
	for _, u := range r.units {
		if u.record == record && u.index == index {
			return u, nil
		}
	}
	u, err := r.newUnit(record, index)
	if err != nil {
		return nil, err
	}
	r.units = append(r.units, u)
	return u, nil
}

// object adds the units that an object consists of, found by its contents.
func (c *collector) object(path string, m front.Member) error {
	if c.seen[m.Digest] {
		return nil
	}
	c.seen[m.Digest] = true
	r := c.recording
	if units := r.objects[m.Digest]; len(units) > 0 {
		c.add(closest(units, path, m.Name))
		return nil
	}
	if record := r.combined[m.Digest]; record != nil {
		return c.record(record)
	}
	if earlier := r.transformed[m.Digest]; earlier != "" {
		m.Digest = earlier
		return c.object(path, m)
	}
	if systemFile(path) || !compiledFromC(path, m) {
		return nil
	}
	if m.Name != "" {
		path += "(" + m.Name + ")"
	}
	c.link.Unknown = append(c.link.Unknown, path)
	return nil
}

func (c *collector) add(u *Unit) {
	if !c.added[u] {
		c.added[u] = true
		c.link.Units = append(c.link.Units, u)
	}
}

// closest picks among units whose objects are equal: the one made at that
// path, else one of that name, else the last.
func closest(units []*Unit, path, member string) *Unit {
	name := filepath.Base(path)
	if member != "" {
		name = member
	}
	best := units[len(units)-1]
	for _, u := range units {
		if u.Output == path {
			return u
		}
		if filepath.Base(u.Output) == name {
			best = u
		}
	}
	return best
}

// systemFile recognises start files and libraries of the toolchain.
func systemFile(path string) bool {
	path = filepath.Clean(path)
	for _, dir := range []string{"/usr/lib/", "/usr/lib64/", "/lib/", "/lib64/", "/usr/libexec/", "/usr/local/lib/"} {
		if strings.HasPrefix(path, dir) {
			return true
		}
	}
	return false
}

// compiledFromC reports whether an object names a C or C++ source. Objects of
// other languages are no concern of a patch of C sources; one that is no
// longer there may have been C.
func compiledFromC(path string, m front.Member) bool {
	if m.Name != "" && m.Offset == 0 { // thin archive
		path = absolute(filepath.Dir(path), m.Name)
	}
	file, err := os.Open(path)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	defer file.Close()
	var content io.ReaderAt = file
	if m.Offset > 0 {
		content = io.NewSectionReader(file, m.Offset, m.Size)
	}
	f, err := object.Read(content)
	if err != nil {
		return false
	}
	for _, s := range f.Symbols {
		if s.Type == elf.STT_FILE && isSource(s.Name) {
			return true
		}
	}
	return false
}

// check reports an object of unknown origin in a link that is to be patched.
func (l *Link) check() error {
	if len(l.Unknown) == 0 {
		return nil
	}
	name := l.Unknown[0]
	if len(l.Unknown) > 1 {
		name = fmt.Sprintf("%s (and %d more)", name, len(l.Unknown)-1)
	}
	return &UnknownObjectError{Object: name, Link: l.Path}
}

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}
