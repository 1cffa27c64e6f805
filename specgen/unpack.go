package specgen

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/openeuler/syscare/specgen/rpmfile"
)

// Tree is an unpacked source package that rpmbuild can build.
type Tree struct {
	Topdir string // rpmbuild's _topdir
	Spec   string // path of the one spec file
}

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
		if filepath.Ext(e.Name) != ".spec" || !e.Mode.IsRegular() || e.Name != filepath.Base(e.Name) {
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
// env. A missing build requirement is a MissingDependenciesError.
func (t *Tree) Build(ctx context.Context, env []string, jobs int, log io.Writer) error {
	n := strconv.Itoa(jobs)
	return runCommand(ctx, log, append(env, "RPM_BUILD_NCPUS="+n),
		"rpmbuild", "--define", "_topdir "+t.Topdir, "--define", "_smp_build_ncpus "+n, "--noclean", "--nocheck", "-bc", t.Spec)
}

// Sources is the directory with the prepared sources after Build.
func (t *Tree) Sources() (string, error) {
	dir := filepath.Join(t.Topdir, "BUILD")
	for range 2 { // rpm 4.20 and later put a directory per package between
		entries, err := os.ReadDir(dir)
		if err != nil {
			return "", err
		}
		var dirs []string
		for _, e := range entries {
			if e.IsDir() && !strings.HasSuffix(e.Name(), "-SPECPARTS") && e.Name() != "SPECPARTS" && e.Name() != "BUILDROOT" {
				dirs = append(dirs, e.Name())
			}
		}
		if len(dirs) != 1 {
			return "", fmt.Errorf("%w: its preparation made %d source directories, one is needed", ErrSource, len(dirs))
		}
		dir = filepath.Join(dir, dirs[0])
		if !strings.HasSuffix(dirs[0], "-build") {
			break
		}
	}
	return dir, nil
}

// stripOption matches the commands with which specs apply patches.
var stripOption = regexp.MustCompile(`(?m)^%(?:autosetup|autopatch|patch)\b[^\n]*?\s-p\s?([0-9])\b`)

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
