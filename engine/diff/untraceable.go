package diff

import (
	"bytes"
	"debug/elf"
	"strings"

	"github.com/openeuler/syscare/engine/object"
)

// Livepatches redirect a function by the call with which traceable ones begin. Functions
// declared inline, among them the bodies of system calls, are without it. Such a function
// can be replaced all the same if all that calls it is known: then its callers are.

// replaceCallers marks the callers of changed functions that cannot be redirected as
// changed, so that they call the new code.
func (p *pair) replaceCallers() {
	var queue []*node
	for _, n := range p.patched.nodes {
		if n.isFunction() && n.changed {
			queue = append(queue, n)
		}
	}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		callers, ok := p.onlyCallers(n)
		if !ok {
			continue // refused by guardKernelFunction
		}
		n.byCallers = true
		for _, c := range callers {
			for _, part := range []*node{c, c.child} {
				if part != nil && part.twin != nil && !part.changed {
					part.changed, part.calls = true, n
					queue = append(queue, part)
				}
			}
		}
	}
}

// onlyCallers gives the functions that call n, if n cannot be redirected itself and nothing
// else can reach it.
func (p *pair) onlyCallers(n *node) (callers []*node, ok bool) {
	if n.twin == nil || n.parent != nil || n.primary == nil || n.twin.traceable() || n.primary.Bind != elf.STB_LOCAL || p.shared(n) || atStart(n) != "" {
		return nil, false
	}
	for _, user := range p.patched.nodes {
		for _, r := range user.relocs {
			to, inside := p.patched.refersTo(user, r)
			if !inside || to.node != n || user == n || user == n.child {
				continue
			}
			if !user.isFunction() || user.primary == nil || !p.patched.arch.IsBranch(user.data, r.Offset, r.Type) {
				return nil, false // its address is taken
			}
			if user.parent != nil {
				user = user.parent
			}
			callers = append(callers, user)
		}
	}
	return callers, len(callers) > 0
}

// shared reports whether the section of n has several functions: calls between them leave
// no trace in the object.
func (p *pair) shared(n *node) bool {
	functions := 0
	for _, s := range n.symbols {
		if s.Type == elf.STT_FUNC {
			functions++
		}
	}
	return functions > 1
}

// atStart says why the code of n does not run any more; "" if it does.
func atStart(n *node) string {
	switch {
	case strings.HasPrefix(n.section.Name, ".init"):
		return "it is an __init function: it has run when the kernel or the module started, and its memory was given away"
	case strings.HasPrefix(n.section.Name, ".exit"):
		return "it is an __exit function, which livepatches cannot redirect"
	}
	return ""
}

// guardKernelFunction refuses what a livepatch cannot replace.
func (p *pair) guardKernelFunction(n *node) error {
	if reason := atStart(n); reason != "" {
		return p.refuse(n.firstChanged(), "%s", reason)
	}
	switch {
	case n.twin == nil || n.parent != nil || n.primary == nil || n.byCallers:
		return nil
	case p.shared(n):
		return p.refuse(n.firstChanged(), "it is in section %q together with other functions: they cannot be replaced one by one", n.section.Name)
	case !n.twin.traceable():
		return p.refuse(n.name, "it is not for tracing (notrace): live patching redirects functions by the call with which traceable ones begin, and not all that calls this one is known")
	}
	return nil
}

// firstChanged is the function of a section with several that a change begins with.
func (n *node) firstChanged() string {
	if n.twin == nil {
		return n.name
	}
	before := map[string]*object.Symbol{}
	for _, s := range n.twin.symbols {
		before[s.Name] = s
	}
	for _, s := range n.symbols {
		old := before[s.Name]
		if s.Type != elf.STT_FUNC {
			continue
		}
		if old == nil || old.Size != s.Size || !bytes.Equal(n.at(s), n.twin.at(old)) {
			return s.Name
		}
	}
	return n.name
}

// at is the code of a function of the section; nil if that is not whole.
func (n *node) at(s *object.Symbol) []byte {
	if s.Value > uint64(len(n.data)) || s.Size > uint64(len(n.data))-s.Value {
		return nil
	}
	return n.data[s.Value : s.Value+s.Size]
}
