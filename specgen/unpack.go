package specgen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/openeuler/syscare/specgen/rpmfile"
)

// Tree is an unpacked source package that rpmbuild can build.
type Tree struct {
	Topdir string // rpmbuild's _topdir
	Spec   string // path of the one spec file

	// Unknown are build requirements that nobody can tell of whether they are there:
	// the packages of this machine are not RPM's. Build sets it.
	Unknown []string

	subdir string // where the build scripts worked, below BUILD; "" if unknown
}

// OpenTree is the tree that was unpacked and built in a topdir: with the name of its
// spec and what Subdir said then.
func OpenTree(topdir, spec, subdir string) *Tree {
	return &Tree{Topdir: topdir, Spec: filepath.Join(topdir, "SPECS", spec), subdir: subdir}
}

// Subdir is where the build scripts worked, below BUILD; "" if unknown.
func (t *Tree) Subdir() string { return t.subdir }

// UnpackSource unpacks the source package p into a new directory topdir below
// dir.
func UnpackSource(ctx context.Context, p *rpmfile.Package, dir string) (*Tree, error) {
	tree := &Tree{Topdir: filepath.Join(dir, "topdir")}
	sources, specs := filepath.Join(tree.Topdir, "SOURCES"), filepath.Join(tree.Topdir, "SPECS")
	for _, d := range []string{sources, specs, filepath.Join(tree.Topdir, "BUILD")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	entries, err := p.Extract(ctx, sources, rpmfile.ExtractOptions{})
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.Mode.IsRegular() || e.Name != filepath.Base(e.Name) {
			return nil, fmt.Errorf("package %q: %w: %q is not a plain file", p.Path, ErrSource, e.Name)
		}
		if filepath.Ext(e.Name) != ".spec" {
			continue
		}
		if tree.Spec != "" {
			return nil, fmt.Errorf("package %q: %w: it has several spec files", p.Path, ErrSource)
		}
		tree.Spec = filepath.Join(specs, e.Name)
		if err := os.Rename(filepath.Join(sources, e.Name), tree.Spec); err != nil {
			return nil, err
		}
	}
	if tree.Spec == "" {
		return nil, fmt.Errorf("package %q: %w: it has no spec file", p.Path, ErrSource)
	}
	return tree, nil
}

// Build runs the package's own preparation and build once, unchanged, with
// env. A missing build requirement is a MissingDependenciesError; they are looked for
// before anything is done.
func (t *Tree) Build(ctx context.Context, env []string, jobs int, log io.Writer) error {
	return t.build(ctx, env, jobs, log)
}

// Rebuild runs the package's build once more, without its preparation: in
// sources that were changed since.
func (t *Tree) Rebuild(ctx context.Context, env []string, jobs int, log io.Writer) error {
	return t.build(ctx, env, jobs, log, "--short-circuit")
}

// Prepare runs the package's preparation only.
func (t *Tree) Prepare(ctx context.Context, jobs int, log io.Writer) error {
	return t.build(ctx, nil, jobs, log, "-bp")
}

func (t *Tree) build(ctx context.Context, env []string, jobs int, log io.Writer, how ...string) error {
	err := t.rpmbuild(ctx, env, jobs, log, how)
	var missing *MissingDependenciesError
	if !errors.As(err, &missing) || !withoutRPM(ctx) {
		return err
	}
	install, unknown := sift(ctx, missing.Names)
	if len(install) > 0 {
		return &MissingDependenciesError{Names: slices.Sorted(maps.Keys(install)), Apt: slices.Sorted(maps.Values(install))}
	}
	t.Unknown = unknown
	return t.rpmbuild(ctx, env, jobs, log, append(slices.Clip(how), "--nodeps"))
}

func (t *Tree) rpmbuild(ctx context.Context, env []string, jobs int, log io.Writer, how []string) error {
	n := strconv.Itoa(jobs)
	if !slices.Contains(how, "-bp") {
		how = append([]string{"-bc", "--noclean", "--nocheck"}, how...)
	}
	argv := append(append([]string{"rpmbuild"}, how...), directories(t.Topdir)...)
	argv = append(argv, "--define", "_smp_build_ncpus "+n, t.Spec)
	place := &workPlace{}
	// rpmbuild's messages are read, so they must not be translated.
	env = append(slices.Clip(env), "RPM_BUILD_NCPUS="+n, "LC_ALL=C.UTF-8", "LANGUAGE=")
	err := runCommand(ctx, io.MultiWriter(log, place), env, argv...)
	t.subdir = place.subdir
	return err
}

// workPlace reads from rpmbuild's output in which directory %build works: its
// script changes to BUILD and then, if %prep made one, to the source directory.
type workPlace struct {
	line   []byte
	armed  bool // in the first lines of a script
	subdir string
}

var changeDir = regexp.MustCompile(`^\++ cd '?([^/'\s][^']*)'?$`)

func (w *workPlace) Write(p []byte) (int, error) {
	for _, c := range p {
		if c != '\n' {
			if len(w.line) < 4096 {
				w.line = append(w.line, c)
			}
			continue
		}
		line := string(w.line)
		w.line = w.line[:0]
		if strings.HasPrefix(line, "Executing(%build)") {
			w.armed = true
		} else if match := changeDir.FindStringSubmatch(line); w.armed && match != nil {
			w.subdir, w.armed = match[1], false
		}
	}
	return len(p), nil
}

// Sources is the directory with the prepared sources after Build: the one
// that %build worked in, else the only one there is.
func (t *Tree) Sources() (string, error) {
	dir := filepath.Join(t.Topdir, "BUILD")
	for range 2 { // rpm 4.20 and later put a directory per package between
		if t.subdir != "" && filepath.IsLocal(t.subdir) {
			if info, err := os.Lstat(filepath.Join(dir, t.subdir)); err == nil && info.IsDir() {
				return filepath.Join(dir, t.subdir), nil
			}
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return "", fmt.Errorf("cannot find the prepared sources: %w", err)
		}
		var dirs []string
		for _, e := range entries {
			if e.IsDir() && !strings.HasSuffix(e.Name(), "-SPECPARTS") && e.Name() != "SPECPARTS" && e.Name() != "BUILDROOT" {
				dirs = append(dirs, e.Name())
			}
		}
		if len(dirs) != 1 {
			return "", fmt.Errorf("%w: its preparation made %d source directories %q, one is needed", ErrSource, len(dirs), dirs)
		}
		dir = filepath.Join(dir, dirs[0])
		if !strings.HasSuffix(dirs[0], "-build") {
			break
		}
	}
	return dir, nil
}

// stripOption matches the commands with which specs apply patches.
var stripOption = regexp.MustCompile(`(?m)^[ \t]*%(?:autosetup|autopatch|patch[0-9]*)\b[^\n]*?\s-p\s?([0-9])\b`)

// Strip is how many leading directories the spec takes off the names in its
// patches; 1 if it does not say.
func (t *Tree) Strip() (int, error) {
	text, err := os.ReadFile(t.Spec)
	if err != nil {
		return 0, err
	}
	match := stripOption.FindSubmatch(text)
	if match == nil {
		return 1, nil
	}
	return strconv.Atoi(string(match[1]))
}
