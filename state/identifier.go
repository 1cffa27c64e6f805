package state

import (
	"fmt"
	"strings"
)

// resolve finds the one patch that id names: a UUID, package/patch or patch,
// the patch with or without its version and release. A full spelling wins
// over a short one.
func resolve(all []*Installed, id string) (*Installed, error) {
	target, name, qualified := strings.Cut(id, "/")
	if !qualified {
		target, name = "", id
	}
	var full, short []*Installed
	for _, p := range all {
		if p.UUID == id {
			return p, nil
		}
		if p.Meta == nil || qualified && p.Meta.Target.FullName() != target {
			continue
		}
		switch name {
		case p.Meta.NameVersionRelease():
			full = append(full, p)
		case p.Meta.Name:
			short = append(short, p)
		}
	}
	found := full
	if len(found) == 0 {
		found = short
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, notFound(all, id)
	}
	var b strings.Builder
	for _, p := range found {
		fmt.Fprintf(&b, "\n  %s  %s", p.UUID, p.FullName())
	}
	return nil, fmt.Errorf("%q: %w; give the full name or the UUID of one of:%s", id, ErrAmbiguous, b.String())
}

func notFound(all []*Installed, id string) error {
	best, distance := "", len(id)/3+2
	for _, p := range all {
		if p.Meta == nil {
			continue
		}
		for _, name := range []string{p.FullName(), p.Meta.Target.FullName() + "/" + p.Meta.Name, p.Meta.NameVersionRelease(), p.Meta.Name} {
			if d := editDistance(strings.ToLower(id), strings.ToLower(name)); d < distance {
				best, distance = p.FullName(), d
			}
		}
	}
	if best != "" {
		return fmt.Errorf("%q: %w; did you mean %q?", id, ErrNotFound, best)
	}
	return fmt.Errorf("%q: %w; `syscare list` shows the installed patches", id, ErrNotFound)
}

// editDistance counts the insertions, deletions and replacements of bytes that
// make b of a. Long strings are not compared: nobody mistypes that much.
func editDistance(a, b string) int {
	const limit = 256
	if len(a) > limit || len(b) > limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
