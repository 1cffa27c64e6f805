package diff

import (
	"debug/elf"
	"regexp"
	"slices"
	"strings"
)

// languages are those that can be patched, as DW_AT_language numbers them:
// C89, C, C99, C11, C17 and C++ to C++20. An object without debug information
// has the language 0; it is refused by the guard of layouts.
var languages = []int64{0, 0x01, 0x02, 0x0c, 0x1d, 0x2c, 0x04, 0x19, 0x1a, 0x21, 0x2b}

const langAssembler = 0x8001

// checkUnit refuses units that cannot be patched whatever changed in them.
func (p *pair) checkUnit() error {
	_, language := compileUnitName(p.original.file)
	switch {
	case language == langAssembler:
		return p.refuse("", "changed assembly is not supported: only C and C++ can be patched")
	case !slices.Contains(languages, language):
		return p.refuse("", "the unit is in another language (DWARF %#x): only C and C++ can be patched", language)
	}
	return p.guardClosures()
}

// thunks reports whether all functions behind the first in the section of n
// are thunks: they adjust "this" and jump to it. The old ones jump to the old
// entry and so follow it.
func (n *node) thunks() bool {
	for _, s := range n.symbols {
		if s.Type == elf.STT_FUNC && s.Value != n.primary.Value && !strings.HasPrefix(s.Name, "_ZTh") && !strings.HasPrefix(s.Name, "_ZTv") {
			return false
		}
	}
	return true
}

// startsProgram recognises the lists of functions that run before main.
func startsProgram(n *node) bool {
	return n.section.Type == elf.SHT_INIT_ARRAY || n.section.Type == elf.SHT_PREINIT_ARRAY || strings.HasPrefix(n.section.Name, ".ctors")
}

// startFunction matches the functions that construct global objects.
var startFunction = regexp.MustCompile(`^(_GLOBAL__sub_[ID]_|_Z\d+__static_initialization_and_destruction_0)`)

// guardStart refuses changes of code that runs before main, and of main.
func (p *pair) guardStart(n *node) error {
	if n.name == "main" {
		return p.refuse(n.name, "it (or what is inlined into it) changed, and every process is in main until it ends")
	}
	if startFunction.MatchString(n.name) {
		return p.refuse(n.name, "the initialisation of global objects changed: it ran when the program started")
	}
	for _, list := range p.patched.nodes {
		if !startsProgram(list) {
			continue
		}
		for _, r := range list.relocs {
			if to, inside := p.patched.refersTo(list, r); inside && to.node == n {
				return p.refuse(n.name, "it runs when the program starts (%s): running processes are past that", list.section.Name)
			}
		}
	}
	return nil
}

// closure matches the number of a lambda or an unnamed type in a mangled name:
// see "Itanium C++ ABI", 5.1.8.
var closure = regexp.MustCompile(`U(l[A-Za-z0-9_]*?E|t)(\d*)_`)

// guardClosures refuses a fix that renumbers lambdas or unnamed types: objects
// of the old ones are alive, and code of that name is now another one's.
func (p *pair) guardClosures() error {
	numbers := func(u *unit) map[string][]string {
		found := map[string][]string{}
		for _, n := range u.nodes {
			if n.isFunction() && closure.MatchString(n.name) {
				base := closure.ReplaceAllString(n.name, "U${1}#_")
				found[base] = append(found[base], n.name)
			}
		}
		for _, names := range found {
			slices.Sort(names)
		}
		return found
	}
	var before, after map[string][]string
	for _, n := range p.patched.nodes {
		if !n.isFunction() || !n.changed || !closure.MatchString(n.name) {
			continue
		}
		if before == nil {
			before, after = numbers(p.original), numbers(p.patched)
		}
		base := closure.ReplaceAllString(n.name, "U${1}#_")
		if !slices.Equal(before[base], after[base]) {
			return p.refuse(n.name, "lambdas or unnamed types of its function were added or removed, which gives the others new numbers: objects of the old ones are alive in running processes")
		}
	}
	return nil
}
