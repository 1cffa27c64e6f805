package diff

import (
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"sort"
	"strings"

	"github.com/openeuler/syscare/engine/isa"
	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
)

// emitter gathers the selected nodes of all units of one target and writes
// their sections, symbols and relocations.
type emitter struct {
	arch  *isa.Arch
	out   *object.Builder
	units []*emittedUnit
	live  *livepatch // of a kernel, else nil

	names   map[string]bool                          // of symbols, defined or not
	binds   map[string]patchobject.Bind              // by symbol
	places  map[patchobject.Bind]*object.BuildSymbol // binds to the target, before they got a symbol
	outside map[string]*object.BuildSymbol           // undefined symbols
	defined map[string]definition                    // global symbols that the patch defines
	pools   map[string]*object.BuildSection          // by name
	pieces  map[string]map[string]uint64             // offset of a piece, by pool and contents
	bases   map[*object.BuildSection]*object.BuildSymbol
	tables  map[string]*object.BuildSection // special sections by name

	keepGoing bool // find all that is refused
}

// emittedUnit is a unit with something in the patch.
type emittedUnit struct {
	*pair
	nodes    []*node
	sections map[*node]*object.BuildSection
	shared   map[*node]bool // the same COMDAT as in another unit, which emits it
}

type definition struct {
	unit *emittedUnit
	node *node
}

func newEmitter(machine elf.Machine, keepGoing bool) *emitter {
	return &emitter{
		names: map[string]bool{}, binds: map[string]patchobject.Bind{},
		outside: map[string]*object.BuildSymbol{}, places: map[patchobject.Bind]*object.BuildSymbol{}, defined: map[string]definition{},
		pools: map[string]*object.BuildSection{}, pieces: map[string]map[string]uint64{},
		bases: map[*object.BuildSection]*object.BuildSymbol{}, tables: map[string]*object.BuildSection{},
		out: object.NewBuilder(machine), keepGoing: keepGoing,
	}
}

func (e *emitter) add(p *pair, nodes []*node) {
	e.arch = p.patched.arch
	e.units = append(e.units, &emittedUnit{pair: p, nodes: nodes, sections: map[*node]*object.BuildSection{}, shared: map[*node]bool{}})
}

// emit fills the builder and returns what is replaced.
func (e *emitter) emit() ([]patchobject.Function, error) {
	for _, u := range e.units {
		for _, n := range u.nodes {
			if e.live != nil && n.isHook() {
				continue // it becomes a part of the module's C source, see livepatch.hook
			}
			known, err := e.share(u, n)
			if err == nil && !known {
				err = e.place(u, n)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	var funcs []patchobject.Function
	var refused []error
	for _, u := range e.units {
		for _, n := range u.nodes {
			if u.shared[n] {
				continue
			}
			replaced, err := e.bindNode(u, n)
			var refusal *Refusal
			if e.keepGoing && errors.As(err, &refusal) {
				refused = append(refused, err)
				continue
			}
			if err != nil {
				return nil, err
			}
			funcs = append(funcs, replaced...)
		}
	}
	if len(refused) > 0 {
		return nil, errors.Join(refused...)
	}
	return funcs, e.emitFrames()
}

// bindNode finds what n refers to, and what it replaces.
func (e *emitter) bindNode(u *emittedUnit, n *node) ([]patchobject.Function, error) {
	if e.live != nil && n.isHook() {
		return nil, e.live.hook(u, n)
	}
	if err := e.relocate(u, n); err != nil {
		return nil, err
	}
	if e.live != nil {
		return nil, e.live.redirect(e, u, n)
	}
	return e.replace(u, n)
}

// uniqueName keeps symbol names apart: several units may have a "helper".
func (e *emitter) uniqueName(u *emittedUnit, name string) string {
	unique := name
	for i := 1; e.names[unique]; i++ {
		unique = name + "@" + path.Base(u.source)
		if e.live != nil { // in whose modules an @ would begin a version
			unique = name + "." + path.Base(u.source)
		}
		if i > 1 {
			unique += fmt.Sprintf(":%d", i)
		}
	}
	e.names[unique] = true
	return unique
}

// place adds the section and the symbols of n.
func (e *emitter) place(u *emittedUnit, n *node) error {
	s := n.section
	flags := s.Flags & (elf.SHF_ALLOC | elf.SHF_WRITE | elf.SHF_EXECINSTR)
	if !n.writable() {
		flags &^= elf.SHF_WRITE // relocated before anyone reads it
	}
	out := e.out.AddSection(&object.BuildSection{
		Name: s.Name, Type: s.Type, Flags: flags, Align: s.Align, Data: append([]byte(nil), n.data...), Size: s.Size,
	})
	if out.Type != elf.SHT_NOBITS {
		out.Type = elf.SHT_PROGBITS
	}
	u.sections[n] = out
	for _, symbol := range n.symbols {
		if symbol.Type == elf.STT_NOTYPE {
			continue
		}
		added := e.out.AddSymbol(&object.BuildSymbol{
			Name: e.uniqueName(u, symbol.Name), Section: out, Value: symbol.Value, Size: symbol.Size,
			Bind: elf.STB_LOCAL, Type: symbol.Type,
		})
		if e.live != nil && n.isFunction() && symbol == n.primary {
			added.Bind = elf.STB_GLOBAL // the module's C source names it
		}
		if symbol.Value == 0 && e.bases[out] == nil {
			e.bases[out] = added
		}
		if symbol == n.primary {
			n.newName = added.Name
		}
		if symbol.Bind != elf.STB_LOCAL {
			if previous, dup := e.defined[symbol.FullName()]; dup {
				return u.refuse(symbol.Name, "it is also defined in %s", previous.unit.source)
			}
			e.defined[symbol.FullName()] = definition{u, n}
		}
	}
	if e.bases[out] == nil {
		e.bases[out] = e.out.AddSymbol(&object.BuildSymbol{Section: out, Bind: elf.STB_LOCAL, Type: elf.STT_SECTION})
	}
	return nil
}

// relocate adds the relocations of n, each to its place in the patch or to an
// outside symbol.
func (e *emitter) relocate(u *emittedUnit, n *node) error {
	out := u.sections[n]
	for _, r := range n.relocs {
		typ, err := e.arch.Reloc(r.Type)
		if err != nil {
			return u.refuse(n.name, "it refers to %q in a way that cannot be patched: %v (%v)", r.Symbol.Name, err, elf.R_X86_64(r.Type))
		}
		symbol, addend, err := e.resolve(u, n, typ, r)
		if err != nil {
			return err
		}
		out.Relocs = append(out.Relocs, object.BuildReloc{Offset: r.Offset, Type: r.Type, Symbol: symbol, Addend: addend})
		if reached, _, ok := ParseReference(symbol.Name); ok && reached != vmlinux {
			e.live.late[reached] = append(e.live.late[reached], latePlace{out, r.Offset, typ.Size})
		}
	}
	return nil
}

// resolve finds what r in node n refers to.
func (e *emitter) resolve(u *emittedUnit, n *node, typ isa.RelocType, r object.Reloc) (*object.BuildSymbol, int64, error) {
	branch := n.isCode() && e.arch.IsBranch(n.data, r.Offset, r.Type)
	if e.live != nil && e.live.ibt && !branch && n.kind != kindSpecial {
		if err := e.live.checkIndirect(e, u, n, typ, r); err != nil {
			return nil, 0, err
		}
	}
	to, inside := u.patched.refersTo(n, r)
	if !inside {
		return e.resolveOutside(u, n, typ, r, branch)
	}
	switch {
	case r.Symbol.Type == elf.STT_GNU_IFUNC:
		// Its place is that of the function that chooses.
		found, err := e.lookUp(u, r.Symbol)
		if err != nil {
			return nil, 0, err
		}
		symbol, err := e.bindSymbol(u, found, r.Symbol.Name, "")
		return symbol, r.Addend, err
	case to.node.kind == kindPool:
		symbol, offset, err := e.poolSymbol(n, to.node, typ, r)
		if err != nil {
			return nil, 0, u.refuse(n.name, "%v", err)
		}
		return symbol, offset, nil
	case u.isNew(to.node):
		if to.node.isFunction() && to.node.twin != nil && !branch && u.entersFunction(n, typ, to) {
			symbol, err := e.bindExisting(u, to.node.twin, patchobject.TargetSuffix)
			return symbol, to.offset - int64(to.node.primary.Value), err
		}
		section := u.sections[to.node]
		if section == nil {
			return nil, 0, u.refuse(n.name, "it refers to section %q, which was not selected", to.node.section.Name)
		}
		return e.bases[section], to.offset, nil
	case to.node.existing().primary == nil:
		return nil, 0, u.refuse(n.name, "it refers to section %q, which has no symbol to find it by", to.node.section.Name)
	}
	symbol, err := e.bindExisting(u, to.node.existing(), "")
	return symbol, to.offset - int64(to.node.primary.Value), err
}

// resolveOutside finds what an undefined symbol of the unit means: something
// in another unit of the patch, something in the target, or in a library.
func (e *emitter) resolveOutside(u *emittedUnit, n *node, typ isa.RelocType, r object.Reloc, branch bool) (*object.BuildSymbol, int64, error) {
	name := r.Symbol.Name
	if d, ok := e.defined[r.Symbol.FullName()]; ok {
		start := place{node: d.node, offset: int64(d.node.primary.Value) + r.Addend}
		if d.node.isFunction() && d.node.twin != nil && !branch && u.entersFunction(n, typ, start) {
			symbol, err := e.bindExisting(d.unit, d.node.twin, patchobject.TargetSuffix)
			return symbol, r.Addend, err
		}
		return e.bases[d.unit.sections[d.node]], start.offset, nil
	}
	if s := u.target.global(r.Symbol); s != nil {
		symbol, err := e.bindSymbol(u, s, name, "")
		return symbol, r.Addend, err
	}
	if e.live != nil {
		symbol, err := e.live.outside(e, u, n, r.Symbol)
		return symbol, r.Addend, err
	}
	bind := patchobject.Bind{
		Symbol: r.Symbol.FullName(), Kind: patchobject.BindDynamic, Name: name, Version: r.Symbol.Version,
		Type: patchobject.Untyped, Weak: r.Symbol.Bind == elf.STB_WEAK,
	}
	s := u.target.imports[name]
	if s != nil {
		bind.Type = symbolKind(s.Type)
		if bind.Version == "" {
			bind.Version = s.Version
		}
	}
	switch typ.Kind {
	case isa.SlotTLS, isa.SlotModule:
		if s == nil {
			return nil, 0, u.refuse(n.name, "it uses the thread-local variable %q, which the target does not know yet", name)
		}
		bind.Kind = patchobject.BindDynamicTLS
	case isa.ThreadOffset, isa.ModuleOffset, isa.SlotModuleBase:
		return nil, 0, u.refuse(n.name, "it uses the thread-local variable %q, which is not in the target", name)
	}
	return e.bind(bind), r.Addend, nil
}

func symbolKind(t elf.SymType) patchobject.SymbolKind {
	switch t {
	case elf.STT_FUNC, elf.STT_GNU_IFUNC:
		return patchobject.Func
	case elf.STT_OBJECT, elf.STT_TLS, elf.STT_COMMON:
		return patchobject.Data
	}
	return patchobject.Untyped
}

// poolSymbol copies the string or constant that r refers to into the patch,
// once, and gives its section and the addend that reaches it.
func (e *emitter) poolSymbol(from, pool *node, typ isa.RelocType, r object.Reloc) (*object.BuildSymbol, int64, error) {
	piece, delta, err := pool.poolPiece(from, typ, r)
	if err != nil {
		return nil, 0, err
	}
	width := max(pool.section.EntSize, 1)
	name := fmt.Sprintf(".rodata.cst%d", width)
	if pool.section.Flags&elf.SHF_STRINGS != 0 {
		name = fmt.Sprintf(".rodata.str%d", width)
	}
	section := e.pools[name]
	if section == nil {
		section = e.out.AddSection(&object.BuildSection{Name: name, Type: elf.SHT_PROGBITS, Flags: elf.SHF_ALLOC, Align: width})
		e.pools[name] = section
		e.pieces[name] = map[string]uint64{}
		e.bases[section] = e.out.AddSymbol(&object.BuildSymbol{Section: section, Bind: elf.STB_LOCAL, Type: elf.STT_SECTION})
	}
	section.Align = max(section.Align, pool.section.Align)
	offset, known := e.pieces[name][string(piece)]
	if !known {
		for pool.section.Flags&elf.SHF_STRINGS == 0 && uint64(len(section.Data))%width != 0 {
			section.Data = append(section.Data, 0)
		}
		offset = uint64(len(section.Data))
		e.pieces[name][string(piece)] = offset
		section.Data = append(section.Data, piece...)
	}
	return e.bases[section], int64(offset) + delta, nil
}

func (e *emitter) bindList() []patchobject.Bind {
	list := make([]patchobject.Bind, 0, len(e.binds))
	for _, b := range e.binds {
		list = append(list, b)
	}
	sort.Slice(list, func(i, j int) bool { return strings.Compare(list[i].Symbol, list[j].Symbol) < 0 })
	return list
}
