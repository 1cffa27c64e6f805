package kernelbuild

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/object"
)

// kindOf says what a changed file is to the kernel: a source, a header, nothing that
// matters, or, as an error, something whose change cannot be patched.
func kindOf(c string, old, removed bool) (kind string, err error) {
	refuse := func(reason string) error { return &diff.Refusal{Source: c, Reason: reason} }
	top, _, _ := strings.Cut(c, "/")
	switch top {
	case "Documentation", "tools", "samples", "LICENSES", "MAINTAINERS", "CREDITS", "README", "COPYING", "rust", "usr":
		return "", nil
	}
	for _, place := range []struct{ prefix, reason string }{
		{"arch/x86/entry/vdso/", "it is a part of the vDSO, which is mapped into processes"},
		{"arch/x86/realmode/", "it runs before the kernel does"}, {"arch/x86/boot/", "it runs before the kernel does"},
		{"arch/x86/purgatory/", "it runs between two kernels"}, {"scripts/", "it is a part of the kernel's build, and may change all that is built"},
	} {
		if strings.HasPrefix(c, place.prefix) && !strings.HasSuffix(c, ".h") {
			return "", refuse(place.reason + ": that cannot be patched")
		}
	}
	base := path.Base(c)
	switch ext := path.Ext(c); {
	case ext == ".S" || ext == ".s":
		return "", refuse("a changed file in assembler: only functions in C can be replaced")
	case removed && (ext == ".c" || ext == ".h"):
		return "", refuse("the fix removes it: what becomes of the code that uses it is not known")
	case ext == ".c" && !old:
		return "", refuse("a new source file: the kernel's build does not compile it; put its code into an existing file")
	case ext == ".c":
		return ".c", nil
	case ext == ".h":
		return ".h", nil
	case base == "Kbuild" || strings.HasPrefix(base, "Makefile") || strings.HasPrefix(base, "Kconfig") || ext == ".config":
		return "", refuse("the fix changes how the kernel is configured or built")
	case ext == ".tbl" || ext == ".lds" || ext == ".awk" || ext == ".pl" || ext == ".sh" || ext == ".py":
		return "", refuse("sources are generated from it: what the change makes of them is not known")
	}
	return "", nil
}

// findUnits finds which source files of the kernel and of its modules the plan affects.
func (r *runner) findUnits(ctx context.Context) error {
	var files, headers []string
	for _, c := range r.plan.Changes {
		kind, err := kindOf(c.Path, c.Old != nil, c.New == nil)
		if err != nil {
			return err
		}
		switch kind {
		case ".c":
			files = append(files, c.Path)
		case ".h":
			headers = append(headers, c.Path)
		default:
			r.note(fmt.Sprintf("%s is no part of the kernel's code: its change has no effect", c.Path))
		}
	}
	kernel := &sources{} // nothing of it is in a module's own sources
	if r.Tree.Module == "" {
		var err error
		if kernel, err = readSources(r.vmlinux); err != nil {
			return fmt.Errorf("vmlinux: %w", err)
		}
	}
	for _, source := range files {
		if kernel.has(source) {
			r.units = append(r.units, &unit{Source: source})
			continue
		}
		found, err := r.inModule(source)
		if err != nil {
			return err
		}
		if !found {
			headers = append(headers, source) // perhaps another one includes it
		}
	}
	if len(headers) > 0 {
		if err := r.including(ctx, kernel, headers); err != nil {
			return err
		}
	}
	if len(r.units) == 0 {
		return fmt.Errorf("%w: no source file of this kernel or of its modules is changed", diff.ErrNoChange)
	}
	slices.SortFunc(r.units, func(a, b *unit) int { return strings.Compare(a.Source, b.Source) })
	return nil
}

// inModule looks for the module that a source file was compiled into.
func (r *runner) inModule(source string) (bool, error) {
	modules := near(r.Modules, source)
	if r.Tree.Module != "" { // whose place tells nothing
		modules = r.Modules
	}
	for _, m := range modules {
		f, err := object.Open(m.Path)
		if err != nil {
			return false, fmt.Errorf("module %s: %w", m.Place, err)
		}
		s, err := readSources(f)
		if err != nil || !s.has(source) {
			if closeErr := f.Close(); err == nil {
				err = closeErr
			}
			if err != nil {
				return false, fmt.Errorf("module %s: %w", m.Place, err)
			}
			continue
		}
		r.opened = append(r.opened, f)
		r.units = append(r.units, &unit{Source: source, Module: m.Name()})
		return true, r.addModule(m.Name(), f)
	}
	return false, nil
}

// addModule notes the file of a module, and those of what it depends on.
func (r *runner) addModule(name string, f *object.File) error {
	r.files[name] = f
	needs, err := dependencies(f)
	if err != nil {
		return fmt.Errorf("module %s: %w", name, err)
	}
	for _, m := range slices.Concat(r.Modules, r.Others) {
		if !slices.Contains(needs, m.Name()) || r.files[m.Name()] != nil {
			continue
		}
		if r.files[m.Name()], err = r.open(m.Path); err != nil {
			return fmt.Errorf("module %s: %w", m.Place, err)
		}
	}
	return nil
}

// including adds the source files that include one of the headers, in the kernel and in all
// modules.
func (r *runner) including(ctx context.Context, kernel *sources, headers []string) error {
	known := map[string]bool{}
	for _, u := range r.units {
		known[u.Source] = true
	}
	var mu sync.Mutex
	add := func(module string, s *sources) (bool, error) {
		names, err := s.including(headers)
		if err != nil {
			return false, err
		}
		mu.Lock()
		defer mu.Unlock()
		found := false
		for _, name := range names {
			source, ok := relativeName(r.Tree.fixed(), name)
			if !ok {
				return false, fmt.Errorf("source file %s includes a changed header and is not in the sources", name)
			}
			if !known[source] {
				known[source], found = true, true
				r.units = append(r.units, &unit{Source: source, Module: module})
			}
		}
		return found, nil
	}
	if kernel.file != nil {
		if _, err := add("", kernel); err != nil {
			return fmt.Errorf("vmlinux: %w", err)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(r.Tree.Jobs, 1))
	for _, m := range r.Modules {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			f, err := object.Open(m.Path)
			if err != nil {
				return fmt.Errorf("module %s: %w", m.Place, err)
			}
			s, err := readSources(f)
			found := false
			if err == nil {
				found, err = add(m.Name(), s)
			}
			if err != nil || !found {
				if closeErr := f.Close(); err == nil {
					err = closeErr
				}
				if err != nil {
					return fmt.Errorf("module %s: %w", m.Place, err)
				}
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			r.opened = append(r.opened, f)
			return r.addModule(m.Name(), f)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, h := range headers {
		if len(r.units) == 0 {
			r.note(fmt.Sprintf("%s is compiled into no part of this kernel: its change has no effect", h))
		}
	}
	return nil
}
