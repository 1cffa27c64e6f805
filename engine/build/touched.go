package build

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"strings"
)

// touchedFile is what the patches change in one file.
type touchedFile struct {
	path   string // relative to the source tree
	groups []group
	ends   []int // lines of the old text that end a function: "}" in the first column
}

// Touched tells which lines the plan changes, for diff.Touched.
func (p *Plan) Touched(ctx context.Context, work string) (func(file string, first, last int) bool, error) {
	var files []touchedFile
	for _, c := range p.Changes {
		if c.Old == nil || c.New == nil || !isSource(c.Path) && !isHeader(c.Path) {
			continue
		}
		groups, err := differences(ctx, work, c.Old, c.New)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Path, err)
		}
		f := touchedFile{path: c.Path, groups: groups}
		for i, line := range bytes.Split(c.Old, []byte("\n")) {
			if bytes.HasPrefix(line, []byte("}")) {
				f.ends = append(f.ends, i+1)
			}
		}
		files = append(files, f)
	}
	return func(file string, first, last int) bool {
		var named *touchedFile
		for i, f := range files {
			// The directory of the build may have been mapped to another one.
			if strings.HasSuffix("/"+path.Clean(file), "/"+f.path) && (named == nil || len(f.path) > len(named.path)) {
				named = &files[i]
			}
		}
		return named != nil && named.touches(first, last)
	}, nil
}

// touches reports whether a change is in a function from first to last, or, if that
// comes earlier, to the end that its text shows.
func (f *touchedFile) touches(first, last int) bool {
	for _, end := range f.ends {
		if end >= first {
			if last == 0 || end < last {
				last = end
			}
			break
		}
	}
	for _, g := range f.groups {
		from, to := g.oldStart, g.oldStart+g.oldCount-1
		if g.oldCount == 0 { // new lines between from and the line after it
			if g.oldStart >= first && (last == 0 || g.oldStart < last) {
				return true
			}
			continue
		}
		if to >= first && (last == 0 || from <= last) {
			return true
		}
	}
	return false
}
