package diff

import (
	"debug/elf"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Accept is what the user takes the responsibility for.
type Accept struct {
	// Layouts names types whose layout may change: objects of them live on the
	// stack only.
	Layouts []string
	// Data names existing variables whose initial value or size may change:
	// new code gets a copy of its own, old code keeps the old one. "file.c:name"
	// tells variables of one name apart.
	Data []string
}

// acceptsCopy reports whether the user accepted a copy of n.
func (p *pair) acceptsCopy(n *node, names []string) bool {
	if n.kind != kindData || n.primary == nil || !n.changed || n.comdat() || startsProgram(n) ||
		strings.HasPrefix(n.name, "_ZT") || strings.HasPrefix(n.name, "_ZGV") {
		return false
	}
	base := baseName(n.name)
	file := path.Base(p.source) + ":"
	return slices.ContainsFunc(names, func(name string) bool {
		return name == n.name || name == base || name == file+n.name || name == file+base
	})
}

// copyData makes new data of the changed variables that the user accepts a copy
// of. A constant that no other unit sees is copied together with all that use
// it, so that nothing goes on with the old one.
func (p *pair) copyData(names []string) (notes []string, err error) {
	for _, n := range p.patched.nodes {
		if !p.acceptsCopy(n, names) {
			continue
		}
		n.copied = true
		if n.writable() || n.primary.Bind != elf.STB_LOCAL {
			notes = append(notes, fmt.Sprintf("%s: only patched and new functions see the new %s, others keep the old one: accepted by --allow-data", p.source, n.name))
			continue
		}
		users, err := p.copyUsers(n)
		if err != nil {
			return nil, err
		}
		notes = append(notes, fmt.Sprintf("%s: %s is a new constant for the functions that use it (%s), and the old one stays for who kept its address: accepted by --allow-data",
			p.source, n.name, strings.Join(users, ", ")))
	}
	return notes, nil
}

// copyUsers marks whatever refers to a copied constant as changed, through
// other constants.
func (p *pair) copyUsers(constant *node) (functions []string, err error) {
	queue := []*node{constant}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		for _, user := range p.patched.nodes {
			if !p.refers(user, n) || user == n {
				continue
			}
			switch {
			case user.isFunction():
				if user.parent != nil { // a cold part goes with its function
					user = user.parent
				}
				for _, part := range []*node{user, user.child} {
					if part != nil {
						part.changed = part.twin != nil
					}
				}
				if !slices.Contains(functions, user.name) {
					functions = append(functions, user.name)
				}
			case user.kind == kindAnonymous || user.copied:
			case user.kind == kindData && user.primary != nil && user.primary.Bind == elf.STB_LOCAL && !user.writable() && !user.comdat():
				user.changed, user.copied = true, true
				queue = append(queue, user)
			default:
				return nil, p.refuse(user.name, "it refers to %q, of which the fix makes another: whoever reads it keeps the old one", n.name)
			}
		}
	}
	return functions, nil
}

func (p *pair) refers(from, to *node) bool {
	for _, r := range from.relocs {
		if place, inside := p.patched.refersTo(from, r); inside && place.node == to {
			return true
		}
	}
	return false
}
