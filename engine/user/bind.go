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
}

func (r *resolver) close() {
	for _, m := range r.modules {
		m.file.Close()
	}
	if r.own != nil {
		r.own.file.Close()
	}
}

// ready opens the target's file if any bind needs its dynamic symbols.
func (r *resolver) ready() error {
	for _, b := range r.binds {
		if b.Kind == patchobject.BindDynamic {
			var err error
			r.own, err = openModule(r.proc, r.target)
			return err
		}
	}
	return nil
}

func (r *resolver) program() bool { return r.target.bias+r.target.entry == r.entry }

// tls is the offset of an existing thread-local variable from the thread
// pointer. The program's TLS block ends there, aligned: variant II of "ELF
// Handling For Thread-Local Storage", section 3.4.6.
func (r *resolver) tls(symbol string) (int64, error) {
	b, ok := r.binds[symbol]
	if !ok || b.Kind != patchobject.BindTLS {
		return 0, ErrUnresolved{Symbol: symbol, Reason: "not a thread-local variable of the target"}
	}
	segment, ok := r.target.segment(elf.PT_TLS)
	if !ok || !r.program() {
		return 0, ErrUnresolved{Symbol: symbol, Reason: "only thread-local variables of the program itself have a fixed place"}
	}
	return int64(b.Address) - int64(align(segment.Memsz, max(segment.Align, 1))), nil
}

// callSlot is the target's own slot through which it calls the function.
func (r *resolver) callSlot(symbol string) (uint64, bool) {
	b := r.binds[symbol]
	if b.Kind != patchobject.BindDynamic || r.own == nil {
		return 0, false
	}
	if slot, ok := r.own.plt[b.Name]; ok {
		return slot, true
	}
	slot, ok := r.own.globals[b.Name]
	return slot, ok
}

// address is the address of a symbol as a program would take it.
func (r *resolver) address(symbol string) (uint64, error) {
	b, ok := r.binds[symbol]
	if !ok {
		return 0, ErrUnresolved{Symbol: symbol, Reason: "no bind"}
	}
	switch b.Kind {
	case patchobject.BindTarget:
		return r.target.bias + uint64(b.Address), nil
	case patchobject.BindTLS:
		return 0, ErrUnresolved{Symbol: symbol, Reason: "a thread-local variable has no single address"}
	}
	if slot, ok := r.own.globals[b.Name]; ok {
		if value, err := r.mem.word(slot); err != nil || value != 0 || b.Weak {
			return value, err
		}
	}
	if err := r.loadModules(); err != nil {
		return 0, err
	}
	return r.lookUp(b)
}

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
	return nil
}

// lookUp does what the dynamic linker does: the first definition in order
// wins. An executable's undefined function with a value is its canonical
// address, its own PLT entry, for all the process: gABI AMD64 supplement,
// "Function Addresses".
func (r *resolver) lookUp(b patchobject.Bind) (uint64, error) {
	for i, m := range r.modules {
		if s := m.define(b.Name, b.Version); s != nil {
			if s.Type == elf.STT_GNU_IFUNC {
				return r.boundElsewhere(b)
			}
			return m.bias + s.Value, nil
		}
		if i > 0 {
			continue
		}
		for _, s := range m.byName[b.Name] {
			if !s.Defined() && s.Value != 0 && s.Type == elf.STT_FUNC {
				return m.bias + s.Value, nil
			}
		}
	}
	if b.Weak {
		return 0, nil
	}
	return 0, ErrUnresolved{Symbol: full(b), Reason: "no loaded object defines it"}
}

// boundElsewhere finds what the dynamic linker chose for an indirect function:
// only a slot that it has filled tells.
func (r *resolver) boundElsewhere(b patchobject.Bind) (uint64, error) {
	for _, m := range r.modules {
		for _, slots := range []map[string]uint64{m.globals, m.plt} {
			slot, ok := slots[b.Name]
			if !ok {
				continue
			}
			value, err := r.mem.word(slot)
			if err != nil {
				return 0, err
			}
			// An unbound PLT slot points back into its own module.
			if value != 0 && (value < m.lo || value >= m.hi) {
				return value, nil
			}
		}
	}
	return 0, ErrUnresolved{Symbol: full(b), Reason: "it is an indirect function (STT_GNU_IFUNC) that nothing in the process has bound yet"}
}

func full(b patchobject.Bind) string {
	if b.Version == "" {
		return b.Name
	}
	return b.Name + "@" + b.Version
}
