package user

import (
	"debug/elf"
	"fmt"

	"github.com/openeuler/syscare/engine/patchobject"
)

// Thread-local variables: Ulrich Drepper, "ELF Handling For Thread-Local
// Storage", in variant II. Where the variables of a shared library are only its
// own table of addresses says, which the dynamic linker has filled.

// programModule is the TLS module number of the program itself.
const programModule = 1

func (r *resolver) threadBind(symbol string) (patchobject.Bind, error) {
	b, ok := r.binds[symbol]
	if !ok || b.Kind != patchobject.BindTLS && b.Kind != patchobject.BindDynamicTLS {
		return b, ErrUnresolved{Symbol: symbol, Reason: "not a thread-local variable"}
	}
	return b, nil
}

// threadOffset is the offset of a variable from the thread pointer. The
// program's block ends there, aligned: section 3.4.6.
func (r *resolver) threadOffset(symbol string) (int64, error) {
	b, err := r.threadBind(symbol)
	if err != nil {
		return 0, err
	}
	if b.Kind == patchobject.BindDynamicTLS {
		slot, ok := r.own.slot(r.own.threadOffsets, b.Name)
		if !ok {
			return 0, ErrUnresolved{Symbol: full(b), Reason: "the target does not use it relative to the thread pointer (initial-exec)"}
		}
		word, err := r.mem.word(slot)
		return int64(word), err
	}
	if r.program() {
		segment, ok := r.target.segment(elf.PT_TLS)
		if !ok {
			return 0, ErrUnresolved{Symbol: symbol, Reason: "the program has no thread-local variables"}
		}
		return int64(b.Address) - int64(align(segment.Memsz, max(segment.Align, 1))), nil
	}
	if r.own.threadBase.slot == 0 {
		return 0, ErrUnresolved{Symbol: symbol, Reason: "the library does not use its thread-local variables relative to the thread pointer (initial-exec)"}
	}
	word, err := r.mem.word(r.own.bias + r.own.threadBase.slot)
	return int64(word) - r.own.threadBase.offset + int64(b.Address), err
}

// moduleOffset is the offset of a variable of the target in its module's block.
func (r *resolver) moduleOffset(symbol string) (int64, error) {
	b, err := r.threadBind(symbol)
	if err == nil && b.Kind != patchobject.BindTLS {
		err = ErrUnresolved{Symbol: full(b), Reason: "a thread-local variable of another object has no fixed offset"}
	}
	return int64(b.Address), err
}

// modulePlace is the TLS module of a variable and its offset there.
func (r *resolver) modulePlace(symbol string) (module, offset uint64, err error) {
	b, err := r.threadBind(symbol)
	if err != nil {
		return 0, 0, err
	}
	if b.Kind == patchobject.BindTLS {
		module, err = r.ownModule()
		return module, uint64(b.Address), err
	}
	slot, ok := r.own.slot(r.own.threadModules, b.Name)
	if !ok {
		return 0, 0, ErrUnresolved{Symbol: full(b), Reason: "the target does not use it through its module (general-dynamic)"}
	}
	if module, err = r.mem.word(slot); err != nil {
		return 0, 0, err
	}
	offset, err = r.mem.word(slot + 8)
	return module, offset, err
}

// ownModule is the number of the target's TLS module.
func (r *resolver) ownModule() (uint64, error) {
	if r.program() {
		return programModule, nil
	}
	if r.own.ownModule == 0 {
		return 0, ErrUnresolved{Symbol: "__tls_get_addr", Reason: "the library does not know the number of its own TLS module"}
	}
	module, err := r.mem.word(r.own.bias + r.own.ownModule)
	if err == nil && module == 0 {
		err = fmt.Errorf("TLS module of %s is not set yet", r.target.buildID)
	}
	return module, err
}
