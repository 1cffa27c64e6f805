package diff

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Reason says why something is in a patch.
type Reason string

const (
	// Changed is a function whose own lines the fix changes.
	Changed Reason = "changed"
	// Inlined is a function that others, which the fix changes, are inlined into.
	Inlined Reason = "inlined"
	// Clone is a version of a changed function that the compiler made for some callers.
	Clone Reason = "clone"
	// Affected is a function that the compiler makes other code of, although the fix
	// changes neither its lines nor those of what is inlined into it: a macro, a type or
	// a function that it calls changed.
	Affected Reason = "affected"
	// Caller is a function that is replaced because it calls one that cannot be redirected.
	Caller Reason = "caller"
	// New is a function or a variable that the fix adds.
	New Reason = "new"
	// Needed is data, or a part of a function, that something else in the patch uses.
	Needed Reason = "needed"
	// Hook is what the fix wants to be called when it is applied or removed.
	Hook Reason = "hook"
)

// Content is one function or datum of a patch, and why it is there.
type Content struct {
	Name     string `json:"name"`
	Function bool   `json:"function"` // else data
	Reason   Reason `json:"reason"`
	// Of names what the reason is about: the functions inlined, the one cloned or called,
	// the one that needs it.
	Of []string `json:"of,omitempty"`
	// Unit is the source file that was compiled, File and Line where the function
	// begins, before the fix; of a new one, where the fix puts it. "" and 0: unknown.
	Unit string `json:"unit"`
	// Index is that of the unit in Build's list.
	Index int    `json:"-"`
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
	// Section is that of the unit's patched object, OldSection that of the original one.
	Section    string `json:"section"`
	OldSection string `json:"old_section,omitempty"`
	OldSize    uint64 `json:"old_size"` // bytes; 0 of what is new
	NewSize    uint64 `json:"new_size"` // bytes
}

// Touched reports whether a fix changes a line from first to last of a source file, as
// numbered before the fix. A last of 0 is the end of the file.
type Touched func(file string, first, last int) bool

// explain tells why the nodes are in the patch. Without debug information it knows less.
func (p *pair) explain(index int, nodes []*node, touched Touched) []Content {
	before, _ := readFunctions(p.original.file)
	after, _ := readFunctions(p.patched.file)
	if touched == nil {
		touched = func(string, int, int) bool { return false }
	}
	var list []Content
	for _, n := range nodes {
		if n.isHook() {
			continue // a list of functions, which say themselves what they are
		}
		c := Content{Name: n.name, Function: n.isFunction(), Unit: p.source, Index: index, Section: n.section.Name, NewSize: n.section.Size}
		if n.primary != nil {
			c.NewSize = max(n.primary.Size, 1)
		}
		f := before[sourceName(n.name)]
		if f == nil {
			f = after[sourceName(n.name)]
		}
		if n.twin != nil {
			c.OldSize, c.OldSection = n.twin.section.Size, n.twin.section.Name
			if n.twin.primary != nil {
				c.OldSize = n.twin.primary.Size
			}
		}
		if f != nil && n.isFunction() {
			c.File, c.Line = f.file, f.line
		}
		c.Reason, c.Of = p.reason(n, f, before, touched)
		list = append(list, c)
	}
	return list
}

// sourceName is the name that a function has in the source.
func sourceName(symbol string) string {
	name := baseName(symbol)
	for _, clone := range []string{".constprop", ".isra", ".part", ".cold"} {
		name, _, _ = strings.Cut(name, clone)
	}
	return name
}

// reason tells why n is in the patch; f is what the debug information says of it, and
// before of the functions that there were.
func (p *pair) reason(n *node, f *sourceFunction, before map[string]*sourceFunction, touched Touched) (Reason, []string) {
	var user []string
	if n.neededBy != nil {
		user = []string{n.neededBy.name}
	}
	switch {
	case n.parent != nil:
		return Needed, []string{n.parent.name}
	case n.calls != nil:
		return Caller, []string{n.calls.name}
	case n.neededBy != nil && n.neededBy.isHook():
		return Hook, nil
	case n.kind == kindAnonymous || n.copied:
		return Needed, user
	case n.twin == nil && before[sourceName(n.name)] == nil:
		return New, user
	case f == nil:
		return Affected, user
	}
	own := touched(f.file, f.line, f.last)
	if own && sourceName(n.name) != baseName(n.name) {
		return Clone, []string{f.name}
	}
	if own {
		return Changed, nil
	}
	var of []string
	for _, in := range f.inlines {
		if touched(in.file, in.line, in.last) {
			of = append(of, in.name)
		}
	}
	slices.Sort(of)
	switch {
	case len(of) > 0:
		return Inlined, of
	case n.twin == nil: // so far it was inlined wherever it is called
		return Needed, user
	}
	return Affected, nil
}

// orderContents puts functions first, in the order of the source.
func orderContents(list []Content) {
	slices.SortStableFunc(list, func(a, b Content) int {
		if a.Function != b.Function {
			if a.Function {
				return -1
			}
			return 1
		}
		return cmp.Or(strings.Compare(a.Unit, b.Unit), strings.Compare(a.File, b.File), a.Line-b.Line, strings.Compare(a.Name, b.Name))
	})
}

// counts is what was compared.
type counts struct{ functions, data, types int }

func (c *counts) add(p *pair) {
	for _, n := range p.patched.nodes {
		switch {
		case n.twin == nil:
		case n.isFunction():
			c.functions++
		case n.kind == kindData || n.kind == kindTLS:
			c.data++
		}
	}
	c.types += p.types
}

func (c *counts) checks(units int) []string {
	return append(c.compared(units),
		"the code that is replaced is in the patch, and is compared with what each process has in its memory before anything is written")
}

func (c *counts) compared(units int) []string {
	return []string{
		fmt.Sprintf("%d functions of %d source files were compared by their code, and %d variables by their initial values", c.functions, units, c.data),
		fmt.Sprintf("%d types of the changed files were compared by size and members: objects of the old shape are alive in running processes", c.types),
	}
}
