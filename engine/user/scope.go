package user

import (
	"fmt"
	"slices"
)

// loadModules opens the loaded objects in the order in which the target's
// symbols are looked up: the program with what it depends on and what was
// preloaded; then, if the target came otherwise (dlopen), the target with what
// it depends on; then the rest.
func (r *resolver) loadModules() error {
	if r.modules != nil {
		return nil
	}
	program := r.target
	for _, img := range r.all {
		if img.bias+img.entry == r.entry {
			program = img
		}
	}
	order, err := linkMap(r.mem, r.all, program)
	if err != nil {
		return fmt.Errorf("list of loaded objects: %w", err)
	}
	for _, img := range order {
		m, err := openModule(r.proc, img)
		if err != nil {
			return err
		}
		r.modules = append(r.modules, m)
	}
	r.modules, r.scope = scoped(r.modules, r.target.lo)
	return nil
}

// scoped puts the modules, which are in the order of the dynamic linker's list,
// into that of look-ups, and says how many belong to the scope of the target,
// which begins at an address.
func scoped(all []*module, target uint64) ([]*module, int) {
	if len(all) == 0 {
		return nil, 0
	}
	// Whatever was loaded at the start comes before what was loaded later.
	global := 1
	for _, m := range closure(all, all[0]) {
		global = max(global, slices.Index(all, m)+1)
	}
	out := slices.Clone(all[:global])
	at := slices.IndexFunc(all, func(m *module) bool { return m.lo == target })
	if at >= global {
		for _, m := range closure(all, all[at]) {
			if !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	scope := len(out)
	for _, m := range all {
		if !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out, scope
}

// closure is a module and what it depends on, breadth first.
func closure(all []*module, first *module) []*module {
	out := []*module{first}
	for i := 0; i < len(out); i++ {
		for _, name := range out[i].needed {
			j := slices.IndexFunc(all, func(m *module) bool { return m.soname == name })
			if j >= 0 && !slices.Contains(out, all[j]) {
				out = append(out, all[j])
			}
		}
	}
	return out
}
