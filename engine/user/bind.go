package user

import (
	"debug/elf"
	"fmt"

	"github.com/openeuler/syscare/engine/patchobject"
)

// resolver finds the outside symbols of one patch in one process.
type resolver struct {
	proc    Process
	mem     memory
	target  image
	all     []image
	entry   uint64 // runtime entry point, which tells the program from libraries
	binds   map[string]patchobject.Bind
	own     *module
	modules []*module // in look-up order; nil before the first look-up
	scope   int       // how many of them the target's symbols are looked up in
	// invoke calls a function of the process without arguments.
	invoke func(at uint64) (uint64, error)
	chosen map[uint64]uint64 // by address of the choosing function
}

// ready opens the target's file if any bind needs its dynamic symbols or its
// table of addresses.
func (r *resolver) ready() error {
	for _, b := range r.binds {
		if b.Kind != patchobject.BindTarget || b.Preemptible || b.Indirect {
			var err error
			r.own, err = openModule(r.proc, r.target)
			return err
		}
	}
	return nil
}

func (r *resolver) program() bool { return r.target.bias+r.target.entry == r.entry }

// callSlot is the target's own slot through which it calls the function.
func (r *resolver) callSlot(symbol string) (uint64, bool) {
	b := r.binds[symbol]
	if b.Kind != patchobject.BindDynamic || r.own == nil {
		return 0, false
	}
	if slot, ok := r.own.slot(r.own.plt, b.Name); ok {
		return slot, true
	}
	return r.own.slot(r.own.globals, b.Name)
}

// address is the address of a symbol as a program would take it.
func (r *resolver) address(symbol string) (uint64, error) {
	b, ok := r.binds[symbol]
	if !ok {
		return 0, ErrUnresolved{Symbol: symbol, Reason: "no bind"}
	}
	switch b.Kind {
	case patchobject.BindTarget:
		return r.targetAddress(b)
	case patchobject.BindTLS, patchobject.BindDynamicTLS:
		return 0, ErrUnresolved{Symbol: symbol, Reason: "a thread-local variable has no single address"}
	}
	if slot, ok := r.own.slot(r.own.globals, b.Name); ok {
		if value, err := r.mem.word(slot); err != nil || value != 0 || b.Weak {
			return value, err
		}
	}
	if err := r.loadModules(); err != nil {
		return 0, err
	}
	return r.lookUp(b)
}

// targetAddress is the address of what the target defines itself.
func (r *resolver) targetAddress(b patchobject.Bind) (uint64, error) {
	at := r.target.bias + uint64(b.Address)
	if b.Preemptible && !r.program() && !r.own.symbolic && r.own.exports(b.Name, b.Version) {
		if value, err := r.bound(r.own, b.Name); err != nil || value != 0 {
			return value, err
		}
		if b.Type != patchobject.Func || r.own.ownCalls {
			if err := r.loadModules(); err != nil {
				return 0, err
			}
			return r.lookUp(b)
		}
	}
	if !b.Indirect {
		return at, nil
	}
	if slot, ok := r.own.indirect[uint64(b.Address)]; ok {
		if value, err := r.inSlot(r.own, r.own.bias+slot); err != nil || value != 0 {
			return value, err
		}
	}
	return r.choose(at)
}

// bound is what the module's slots for name hold, 0 if there is none that is
// bound.
func (r *resolver) bound(m *module, name string) (uint64, error) {
	for _, of := range []slots{m.globals, m.plt} {
		if slot, ok := m.slot(of, name); ok {
			if value, err := r.inSlot(m, slot); err != nil || value != 0 {
				return value, err
			}
		}
	}
	return 0, nil
}

// inSlot is what a slot of the module holds, 0 if it is not bound: then it leads
// back into the module's own procedure linkage table.
func (r *resolver) inSlot(m *module, slot uint64) (uint64, error) {
	value, err := r.mem.word(slot)
	if err != nil || m.linkage(value) {
		return 0, err
	}
	return value, nil
}

// choose runs the function that chooses the implementation of an indirect one.
func (r *resolver) choose(at uint64) (uint64, error) {
	if value, known := r.chosen[at]; known {
		return value, nil
	}
	value, err := r.invoke(at)
	if err != nil {
		return 0, fmt.Errorf("choose an implementation: %w", err)
	}
	if value == 0 {
		return 0, ErrUnresolved{Symbol: fmt.Sprintf("%#x", at), Reason: "the process chose no implementation of an indirect function"}
	}
	if r.chosen == nil {
		r.chosen = map[uint64]uint64{}
	}
	r.chosen[at] = value
	return value, nil
}

// lookUp does what the dynamic linker does: the first definition in order
// wins. An executable's undefined function with a value is its canonical
// address, its own PLT entry, for all the process: gABI AMD64 supplement,
// "Function Addresses". What is in no object that the target depends on may be
// in one that was loaded otherwise, if only one defines it.
func (r *resolver) lookUp(b patchobject.Bind) (uint64, error) {
	for i, m := range r.modules[:r.scope] {
		if s := m.define(b.Name, b.Version); s != nil {
			return r.definition(m, s, b)
		}
		if i > 0 {
			continue
		}
		for _, s := range m.symbols[b.Name] {
			if !s.defined && s.value != 0 && s.typ == elf.STT_FUNC {
				return m.bias + s.value, nil
			}
		}
	}
	if b.Weak {
		return 0, nil
	}
	var found []uint64
	for _, m := range r.modules[r.scope:] {
		if s := m.define(b.Name, b.Version); s != nil {
			value, err := r.definition(m, s, b)
			if err != nil {
				return 0, err
			}
			found = append(found, value)
		}
	}
	switch len(found) {
	case 0:
		return 0, ErrUnresolved{Symbol: full(b), Reason: "no loaded object defines it"}
	case 1:
		return found[0], nil
	}
	return 0, ErrUnresolved{Symbol: full(b), Reason: "several loaded objects define it, and the target depends on none of them"}
}

// definition is the address of s in m. For an indirect function that is what
// the dynamic linker chose, or would.
func (r *resolver) definition(m *module, s *dynamicSymbol, b patchobject.Bind) (uint64, error) {
	if s.typ != elf.STT_GNU_IFUNC {
		return m.bias + s.value, nil
	}
	for _, other := range r.modules {
		if d := other.define(b.Name, b.Version); d != nil && other != m {
			continue // its slots may lead to its own definition
		}
		if value, err := r.bound(other, b.Name); err != nil || value != 0 {
			return value, err
		}
	}
	return r.choose(m.bias + s.value)
}

func full(b patchobject.Bind) string {
	if b.Version == "" {
		return b.Name
	}
	return b.Name + "@" + b.Version
}
