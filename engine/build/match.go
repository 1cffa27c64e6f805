package build

import (
	"debug/elf"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openeuler/syscare/engine/object"
)

// DebugFile is the debuginfo of an installed ELF file.
type DebugFile struct {
	Path       string // of the debuginfo, or of an unstripped ELF
	TargetPath string // where the ELF is installed
	Name       string // of the entity
}

// Pairing is a linked file of the recording and the debuginfo of what was
// shipped.
type Pairing struct {
	Link  *Link
	Debug DebugFile
	ID    object.BuildID
	// Exact says that all functions have the same addresses and sizes: the
	// linked file is the shipped program.
	Exact bool

	differs []string // names of functions that are not the same, sorted
	same    int
	total   int
}

// SameFunction reports whether all functions of that name have the same sizes
// and the same neighbours here and in what was shipped.
func (p *Pairing) SameFunction(name string) bool {
	_, differs := slices.BinarySearch(p.differs, name)
	return !differs
}

// Differences returns the names of the functions that are not the same.
func (p *Pairing) Differences() []string { return p.differs }

// code is the code symbols of one ELF file.
type code struct {
	functions []function // by address
	byName    map[string][]string
}

type function struct {
	name    string
	address object.Address
	size    uint64
}

// codeOf collects the functions of f and, for each name, what identifies
// them: size and neighbours.
func codeOf(f *object.File) code {
	c := code{byName: map[string][]string{}}
	for _, s := range f.Symbols {
		const gnuIFunc = 10 // STT_GNU_IFUNC
		if (s.Type == elf.STT_FUNC || s.Type == gnuIFunc) && s.Defined() && s.Name != "" {
			c.functions = append(c.functions, function{s.Name, object.Address(s.Value), s.Size})
		}
	}
	slices.SortFunc(c.functions, func(a, b function) int {
		switch {
		case a.address != b.address:
			return compareAddresses(a.address, b.address)
		case a.name != b.name:
			return strings.Compare(a.name, b.name)
		}
		return compareAddresses(object.Address(a.size), object.Address(b.size))
	})
	name := func(i int) string {
		if i < 0 || i >= len(c.functions) {
			return ""
		}
		return c.functions[i].name
	}
	for i, fn := range c.functions {
		c.byName[fn.name] = append(c.byName[fn.name], fmt.Sprintf("%d %s %s", fn.size, name(i-1), name(i+1)))
	}
	for _, list := range c.byName {
		slices.Sort(list)
	}
	return c
}

func compareAddresses(a, b object.Address) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// pair compares the code of a link with that of the debuginfo.
func pair(link *Link, linked code, debug DebugFile, id object.BuildID, shipped code) *Pairing {
	p := &Pairing{Link: link, Debug: debug, ID: id, total: len(shipped.functions)}
	p.Exact = slices.Equal(linked.functions, shipped.functions)
	for name, list := range shipped.byName {
		if slices.Equal(list, linked.byName[name]) {
			p.same += len(list)
		} else {
			p.differs = append(p.differs, name)
		}
	}
	for name := range linked.byName {
		if shipped.byName[name] == nil {
			p.differs = append(p.differs, name)
		}
	}
	slices.Sort(p.differs)
	return p
}

// MatchTargets finds for each debuginfo the linked file that it describes.
// Debuginfo that fits no linked file is returned as errors: whether that
// matters depends on what the patch changes.
func MatchTargets(links []*Link, debug []DebugFile) ([]*Pairing, []*OtherBuildError, error) {
	linked := make([]code, len(links))
	for i, l := range links {
		f, err := object.Open(l.Kept)
		if err != nil {
			return nil, nil, fmt.Errorf("linked file %s: %w", l.Path, err)
		}
		linked[i] = codeOf(f)
		if err := f.Close(); err != nil {
			return nil, nil, err
		}
	}
	var pairings []*Pairing
	var others []*OtherBuildError
	known := map[object.BuildID]bool{}
	for _, d := range debug {
		f, err := object.Open(d.Path)
		if err != nil {
			return nil, nil, fmt.Errorf("debuginfo: %w", err)
		}
		id, shipped := f.BuildID, codeOf(f)
		if err := f.Close(); err != nil {
			return nil, nil, err
		}
		if id != "" && known[id] {
			continue // another copy of the same file
		}
		known[id] = true
		best := bestPairing(links, linked, d, id, shipped)
		switch {
		case best == nil:
			others = append(others, &OtherBuildError{Debug: d.Path, Total: len(shipped.functions)})
		case !best.credible():
			others = append(others, &OtherBuildError{
				Debug: d.Path, Link: best.Link.Path, Same: best.same, Total: best.total, Differs: best.differs,
			})
		default:
			pairings = append(pairings, best)
		}
	}
	return pairings, others, nil
}

// credible reports whether the two can be the same program at all: at least
// nine of ten functions are the same.
func (p *Pairing) credible() bool { return p.Exact || p.total > 0 && p.same*10 >= p.total*9 }

// bestPairing prefers exact pairings, then the most equal functions, then
// equal names; of equal candidates the last: builds relink on installation.
func bestPairing(links []*Link, linked []code, d DebugFile, id object.BuildID, shipped code) *Pairing {
	var best *Pairing
	for i, l := range links {
		if len(shipped.functions) == 0 || len(linked[i].functions) == 0 {
			continue
		}
		p := pair(l, linked[i], d, id, shipped)
		if p.same == 0 {
			continue
		}
		if best == nil || p.betterThan(best) {
			best = p
		}
	}
	return best
}

func (p *Pairing) betterThan(other *Pairing) bool {
	if p.Exact != other.Exact {
		return p.Exact
	}
	if a, b := p.same-len(p.differs), other.same-len(other.differs); a != b {
		return a > b
	}
	return p.named() || !other.named()
}

// named reports whether the linked file is called as the installed one.
func (p *Pairing) named() bool {
	return filepath.Base(p.Link.Path) == filepath.Base(p.Debug.TargetPath)
}
