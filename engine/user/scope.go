package user

import (
	"debug/elf"
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

// readDynamic notes what the module depends on and how it is bound.
func (m *module) readDynamic() error {
	var err error
	if m.needed, err = m.file.DynamicStrings(elf.DT_NEEDED); err != nil {
		return err
	}
	names, err := m.file.DynamicStrings(elf.DT_SONAME)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		m.soname = names[0]
	}
	flags, err := m.file.DynamicValues(elf.DT_FLAGS)
	if err != nil {
		return err
	}
	symbolic, err := m.file.DynamicValues(elf.DT_SYMBOLIC)
	m.symbolic = len(symbolic) > 0 || len(flags) > 0 && elf.DynFlag(flags[0])&elf.DF_SYMBOLIC != 0
	return err
}

// linkage reports whether an address is in the module's procedure linkage
// table.
func (m *module) linkage(at uint64) bool {
	for _, s := range m.file.Sections {
		if (s.Name == ".plt" || s.Name == ".plt.sec" || s.Name == ".plt.got") &&
			at >= m.bias+uint64(s.Address) && at < m.bias+uint64(s.Address)+s.Size {
			return true
		}
	}
	return false
}

// exports reports whether other objects see the module's definition and their
// own could stand in its place.
func (m *module) exports(name, version string) bool {
	s := m.define(name, version)
	return s != nil && s.Visibility == elf.STV_DEFAULT
}
