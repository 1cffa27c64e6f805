package kernelbuild

import (
	"bytes"
	"debug/dwarf"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openeuler/syscare/engine/object"
)

// ModuleFile is a kernel module with its symbols.
type ModuleFile struct {
	Path string // unpacked
	// Place is where it is among the kernel's modules, as fs/xfs/xfs.
	Place string
}

// Name is what the kernel calls it.
func (m ModuleFile) Name() string { return strings.ReplaceAll(path.Base(m.Place), "-", "_") }

// sources knows what the debug information says of a file's source files.
type sources struct {
	file  *object.File
	units []dwarf.Offset
	names []string // of the units, as far as they are relative to the kernel's sources
}

func readSources(f *object.File) (*sources, error) {
	units, err := f.UnitOffsets()
	if err != nil {
		return nil, err
	}
	data, err := f.DWARF()
	if err != nil {
		return nil, err
	}
	s := &sources{file: f, units: units}
	for _, at := range units {
		r := data.Reader()
		r.Seek(at)
		entry, err := r.Next()
		if err != nil {
			return nil, fmt.Errorf("debug information: %w", err)
		}
		name := ""
		if entry != nil && entry.Tag == dwarf.TagCompileUnit {
			if name, err = f.Text(entry, dwarf.AttrName); err != nil {
				return nil, err
			}
		}
		s.names = append(s.names, path.Clean(name))
	}
	return s, nil
}

// has reports whether a source file, relative to the kernel's sources, was compiled into it.
func (s *sources) has(source string) bool {
	return slices.ContainsFunc(s.names, func(name string) bool { return isFile(name, source) })
}

// isFile reports whether the name in the debug information is that of a source file. The
// kernel was built in another directory, of which the name may hold a part.
func isFile(name, source string) bool {
	return name == source || strings.HasSuffix(name, "/"+source)
}

// including lists the source files that include one of the headers.
func (s *sources) including(headers []string) (list []string, err error) {
	data, err := s.file.DWARF()
	if err != nil {
		return nil, err
	}
	for i, at := range s.units {
		r := data.Reader()
		r.Seek(at)
		entry, err := r.Next()
		if err != nil {
			return nil, fmt.Errorf("debug information: %w", err)
		}
		if entry == nil || !strings.HasSuffix(s.names[i], ".c") {
			continue
		}
		lines, err := data.LineReader(entry)
		if err != nil {
			return nil, fmt.Errorf("debug information of %s: %w", s.names[i], err)
		}
		if lines == nil {
			continue
		}
		if slices.ContainsFunc(lines.Files(), func(f *dwarf.LineFile) bool {
			return f != nil && slices.ContainsFunc(headers, func(h string) bool { return isFile(path.Clean(f.Name), h) })
		}) {
			list = append(list, s.names[i])
		}
	}
	return list, nil
}

// relativeName takes off what the directory of the shipped kernel's build added to the name
// of a source file.
func relativeName(tree, name string) (string, bool) {
	for rest := name; ; {
		if filepath.IsLocal(rest) {
			if info, err := os.Stat(filepath.Join(tree, rest)); err == nil && info.Mode().IsRegular() {
				return rest, true
			}
		}
		_, after, found := strings.Cut(rest, "/")
		if !found {
			return "", false
		}
		rest = after
	}
}

// near orders modules by how many directories they share with a source file, the nearest
// first: a module is made in the directory of its source files, or in one above.
func near(modules []ModuleFile, source string) []ModuleFile {
	shared := func(m ModuleFile) int {
		a, b := strings.Split(path.Dir(m.Place), "/"), strings.Split(path.Dir(source), "/")
		n := 0
		for n < len(a) && n < len(b) && a[n] == b[n] {
			n++
		}
		return n
	}
	list := slices.Clone(modules)
	slices.SortStableFunc(list, func(a, b ModuleFile) int { return shared(b) - shared(a) })
	return slices.DeleteFunc(list, func(m ModuleFile) bool { return shared(m) == 0 })
}

// dependencies are the modules that a module says it needs.
func dependencies(f *object.File) ([]string, error) {
	section := f.Section(".modinfo")
	if section == nil {
		return nil, nil
	}
	text, err := section.Bytes()
	if err != nil {
		return nil, err
	}
	for field := range bytes.SplitSeq(text, []byte{0}) {
		if value, ok := strings.CutPrefix(string(field), "depends="); ok && value != "" {
			names := strings.Split(value, ",")
			for i := range names {
				names[i] = strings.ReplaceAll(names[i], "-", "_")
			}
			return names, nil
		}
	}
	return nil, nil
}
