package build

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/openeuler/syscare/engine/build/front"
)

// Affected returns the units that the changes of a plan reach, and notes on
// changes that reach none. A change whose effect cannot be replayed is a
// *NotReplayableError.
func (r *Recording) Affected(ctx context.Context, plan *Plan, work string, jobs int, log io.Writer) (units []*Unit, notes []string, err error) {
	header := false
	for _, c := range plan.Changes {
		header = header || !isSource(c.Path)
	}
	if header {
		if err := r.completeDeps(ctx, work, jobs, log); err != nil {
			return nil, nil, err
		}
	}
	index := newUsers(r)
	reached := map[*Unit]bool{}
	for _, c := range plan.Changes {
		users := index.of(filepath.Join(plan.Tree, c.Path))
		if len(users) == 0 {
			note, err := index.unused(c)
			if err != nil {
				return nil, nil, err
			}
			notes = append(notes, note)
			continue
		}
		if c.New == nil {
			return nil, nil, &NotReplayableError{File: c.Path, Reason: "which the build needs, by removing it"}
		}
		for _, u := range users {
			if r.isIntermediate(u) {
				return nil, nil, &NotReplayableError{File: c.Path, Reason: "which the build preprocesses or assembles in a step of its own"}
			}
			reached[u] = true
		}
	}
	for _, u := range r.units {
		if reached[u] {
			units = append(units, u)
		}
	}
	return units, notes, nil
}

// completeDeps asks the compiler for all headers of the units whose recorded
// dependencies leave out some.
func (r *Recording) completeDeps(ctx context.Context, work string, jobs int, log io.Writer) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(jobs, 1))
	for _, u := range r.units {
		group.Go(func() error {
			_, err := u.dependencies(ctx, work, log)
			return err
		})
	}
	return group.Wait()
}

// users knows which units read a file.
type users struct {
	byFile map[string][]*Unit
}

func newUsers(r *Recording) *users {
	x := &users{byFile: map[string][]*Unit{}}
	real := map[string]string{}
	for _, list := range [][]*Unit{r.units, r.translated} {
		for _, u := range list {
			seen := map[string]bool{}
			for _, path := range append([]string{u.Source}, u.Deps...) {
				resolved, known := real[path]
				if !known {
					resolved = path
					if target, err := filepath.EvalSymlinks(path); err == nil {
						resolved = target
					}
					real[path] = resolved
				}
				if !seen[resolved] {
					seen[resolved] = true
					x.byFile[resolved] = append(x.byFile[resolved], u)
				}
			}
		}
	}
	return x
}

func (x *users) of(path string) []*Unit { return x.byFile[path] }

// isIntermediate reports whether u made the text that another unit compiles.
func (r *Recording) isIntermediate(u *Unit) bool {
	if u.record.Kind != front.Translate {
		return false
	}
	output := u.Output // of -S; -E writes where -o says
	if output == "" && u.record.Output != "" {
		output = absolute(u.record.Dir, u.record.Output)
	}
	for _, other := range r.units {
		if output != "" && other.Source == output {
			return true
		}
	}
	return false
}

// unused decides on a changed file that no recorded unit reads.
func (x *users) unused(c Change) (note string, err error) {
	if reason := generates(c.Path); reason != "" {
		return "", &NotReplayableError{File: c.Path, Reason: reason}
	}
	switch {
	case c.Old == nil && isSource(c.Path):
		return "", &NotReplayableError{File: c.Path, Reason: "a new source file, which no command of the build compiles"}
	case c.Old == nil && isHeader(c.Path):
		return c.Path + " is a new header; the sources that include it are compiled again", nil
	case isSource(c.Path) || isHeader(c.Path):
		return fmt.Sprintf("%s is not compiled by this build: its change has no effect", c.Path), nil
	}
	return fmt.Sprintf("%s is no part of the program: its change has no effect", c.Path), nil
}

// generates says why a file that no compiler reads still decides what the
// program is; "" if it does not.
func generates(path string) string {
	base := filepath.Base(path)
	for _, dir := range strings.Split(filepath.Dir(path), "/") {
		switch dir {
		case "doc", "docs", "test", "tests", "testsuite", "t", "examples", "contrib", "po", "man":
			return ""
		}
	}
	switch base {
	case "configure", "CMakeLists.txt", "meson.build", "meson_options.txt", "SConstruct", "BUILD", "wscript", "Kconfig", "configure.ac":
		return "a file of the build system"
	}
	if strings.HasPrefix(base, "Makefile") || strings.HasPrefix(base, "GNUmakefile") || base == "makefile" {
		return "a file of the build system"
	}
	if isDocument(base) || isSource(path) || isHeader(path) {
		return ""
	}
	switch filepath.Ext(path) {
	case ".mk", ".cmake", ".m4", ".ac", ".am":
		return "a file of the build system"
	case ".in", ".y", ".yy", ".ypp", ".l", ".ll", ".lex", ".awk", ".gperf", ".proto", ".tmpl", ".idl", ".xs", ".re":
		return "from which sources may be generated"
	case ".map", ".ver", ".sym", ".lds", ".ld", ".exp":
		return "which may direct the linker"
	case ".s", ".S", ".asm":
		return "assembler source that no recorded command reads"
	case ".py", ".pl", ".sh", ".tcl", ".lua", ".rb":
		return "a script, which may generate sources"
	case ".rs", ".go", ".f", ".f90", ".F", ".pas", ".d", ".vala", ".m", ".mm", ".cu":
		return "a source in a language that cannot be patched"
	}
	return "which may take part in the build"
}

var (
	documentEnding = regexp.MustCompile(`(?i)\.(md|txt|rst|html?|css|texi|texinfo|tex|pod|adoc|[1-9]|[1-9]\.in|po|pot|gmo|png|svg|jpe?g|gif|pdf|ya?ml|gitignore|gitattributes|editorconfig|service|conf|cfg|sample|example)$`)
	documentName   = regexp.MustCompile(`(?i)^(readme|changes?|changelog|news|authors|copying|licen[cs]e|thanks|todo|history|install|bugs|releasing|release-?notes|security|contributing|version)([.-].*)?$`)
)

// isDocument recognises files that are for people, or for the installed
// program.
func isDocument(base string) bool {
	return documentEnding.MatchString(base) || documentName.MatchString(base)
}
