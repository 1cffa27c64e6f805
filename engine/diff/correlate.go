package diff

import (
	"debug/elf"
	"slices"
	"strings"
)

// pair is a translation unit before and after the fix.
type pair struct {
	source   string
	target   *target
	original *unit
	patched  *unit
	recorded *unit // the unmodified object, nil if there is none

	equal map[[2]*node]bool // memo of sameAnonymous
	types int               // that both units have
	group int               // index of the unit's STT_FILE symbol in the target, 0 before it was looked up

	bySize bool // the target has no code that functions could be compared with, see shipped
}

// correlate links each node of the patched object with its twin in the
// original one: by exact name first, static locals by their functions, then,
// among those left over, by the name without what compilers renumber.
func (p *pair) correlate() {
	key := func(n *node, name string) string {
		class := "data "
		switch n.kind {
		case kindFunction:
			class = "function "
		case kindTLS:
			class = "tls "
		}
		return class + name
	}
	named := func(n *node) bool { return n.primary != nil && n.kind != kindAnonymous && n.kind != kindPool }

	exact := map[string]*node{}
	for _, n := range p.original.nodes {
		if named(n) && !p.isStaticLocal(n) {
			exact[key(n, n.name)] = n
		}
	}
	for _, n := range p.patched.nodes {
		if named(n) && !p.isStaticLocal(n) {
			if twin := exact[key(n, n.name)]; twin != nil && twin.twin == nil {
				twin.twin, n.twin = n, twin
			}
		}
	}
	p.correlateStatics()
	left, right := map[string][]*node{}, map[string][]*node{}
	var order []string
	for _, n := range p.original.nodes {
		if named(n) && n.twin == nil && n.owner == "" {
			k := key(n, baseName(n.name))
			left[k] = append(left[k], n)
		}
	}
	for _, n := range p.patched.nodes {
		if named(n) && n.twin == nil && n.owner == "" {
			k := key(n, baseName(n.name))
			if right[k] == nil {
				order = append(order, k)
			}
			right[k] = append(right[k], n)
		}
	}
	for _, k := range order {
		p.correlateGroup(left[k], right[k])
	}
	p.correlateUnnamed()
}

// isStaticLocal recognises data that the compiler numbered, as in "count.0".
func (p *pair) isStaticLocal(n *node) bool {
	return !n.isFunction() && n.primary.Bind == elf.STB_LOCAL && numberSuffix.MatchString(n.name)
}

// correlateGroup pairs nodes whose names differ in numbers only. Data is
// paired by the functions that use it.
func (p *pair) correlateGroup(left, right []*node) {
	link := func(a, b *node) { a.twin, b.twin = b, a }
	for _, b := range right {
		if b.isFunction() {
			continue
		}
		users := p.userNames(p.patched, b)
		var found []*node
		for _, a := range left {
			if a.twin == nil && slices.Equal(p.userNames(p.original, a), users) && len(users) > 0 {
				found = append(found, a)
			}
		}
		rivals := 0
		for _, other := range right {
			if slices.Equal(p.userNames(p.patched, other), users) {
				rivals++
			}
		}
		if len(found) == 1 && rivals == 1 {
			link(found[0], b)
		}
	}
	// A function that gained or lost the use of a variable still shares some
	// other user with it.
	sharing := func(b *node) (found []*node) {
		for _, a := range left {
			if a.twin == nil && b.twin == nil && !b.isFunction() && shareUser(p.userNames(p.original, a), p.userNames(p.patched, b)) {
				found = append(found, a)
			}
		}
		return found
	}
	for _, b := range right {
		found := sharing(b)
		if len(found) != 1 || slices.ContainsFunc(right, func(other *node) bool {
			return other != b && slices.Contains(sharing(other), found[0])
		}) {
			continue
		}
		link(found[0], b)
	}
	p.correlateInOrder(left, right)
}

// correlateInOrder pairs what is left in file order, which follows the source:
// functions if both sides have equally many, data likewise among those used by
// the same functions. Data with other users stays unpaired, see ambiguous.
func (p *pair) correlateInOrder(left, right []*node) {
	rest := func(u *unit, nodes []*node, users []string) (out []*node) {
		for _, n := range nodes {
			if n.twin == nil && (n.isFunction() || slices.Equal(p.userNames(u, n), users)) {
				out = append(out, n)
			}
		}
		return out
	}
	for _, n := range right {
		if n.twin != nil {
			continue
		}
		users := p.userNames(p.patched, n)
		a, b := rest(p.original, left, users), rest(p.patched, right, users)
		if len(a) != len(b) {
			continue
		}
		for i := range a {
			a[i].twin, b[i].twin = b[i], a[i]
		}
	}
}

func (p *pair) userNames(u *unit, n *node) (names []string) {
	for _, f := range u.callers[n] {
		name := baseName(f.name)
		name, _, _ = strings.Cut(name, ".") // a clone or cold part uses what its function uses
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func shareUser(a, b []string) bool {
	return slices.ContainsFunc(a, func(name string) bool { return slices.Contains(b, name) })
}

// correlateUnnamed pairs sections of data that have no symbol by their names.
func (p *pair) correlateUnnamed() {
	byName := map[string]*node{}
	for _, n := range p.original.nodes {
		if n.primary == nil {
			byName[n.section.Name] = n
		}
	}
	for _, n := range p.patched.nodes {
		if twin := byName[n.section.Name]; n.primary == nil && twin != nil && twin.twin == nil {
			n.twin, twin.twin = twin, n
		}
	}
}

// ambiguous reports whether n could be an existing variable that was not
// recognised: then a new copy would silently lose its state.
func (p *pair) ambiguous(n *node) bool {
	if n.twin != nil || n.primary == nil || n.isFunction() || n.kind == kindAnonymous || n.kernel && alwaysNew(n.name) {
		return false
	}
	return slices.ContainsFunc(p.original.nodes, func(o *node) bool {
		return o.twin == nil && o.kind == n.kind && o.primary != nil && baseName(o.name) == baseName(n.name)
	})
}
