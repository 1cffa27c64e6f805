package diff

import (
	"debug/elf"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
)

// bind adds the undefined symbol of b, once.
func (e *emitter) bind(b patchobject.Bind) *object.BuildSymbol {
	if s := e.outside[b.Symbol]; s != nil {
		return s
	}
	e.names[b.Symbol] = true
	e.binds[b.Symbol] = b
	s := e.out.AddSymbol(&object.BuildSymbol{Name: b.Symbol, Bind: elf.STB_GLOBAL})
	e.outside[b.Symbol] = s
	return s
}

// bindExisting binds to the function or datum n of the original object, at its
// place in the target. The suffix sets the old entry of a replaced function
// apart from its new code.
func (e *emitter) bindExisting(u *emittedUnit, n *node, suffix string) (*object.BuildSymbol, error) {
	s, err := e.lookUp(u, n.primary)
	if err != nil {
		return nil, err
	}
	return e.bindSymbol(u, s, n.primary.Name, suffix)
}

// bindSymbol binds to the symbol s of the target.
func (e *emitter) bindSymbol(u *emittedUnit, s *object.Symbol, name, suffix string) (*object.BuildSymbol, error) {
	if e.live != nil {
		return e.live.reference(e, u, u.target, s, suffix != "")
	}
	b := patchobject.Bind{
		Kind: patchobject.BindTarget, Name: name, Type: symbolKind(s.Type), Address: object.Address(s.Value), Size: s.Size,
	}
	if s.Type == elf.STT_TLS {
		b.Kind = patchobject.BindTLS
	} else {
		b.Indirect = s.Type == elf.STT_GNU_IFUNC
		if b.Preemptible = u.target.preemptible(s); b.Preemptible {
			b.Name, b.Version = s.Name, s.Version
		}
	}
	if known := e.places[b]; known != nil {
		return known, nil
	}
	key := b
	b.Symbol = e.uniqueName(u, name+suffix)
	e.places[key] = e.bind(b)
	return e.places[key], nil
}

// lookUp finds the symbol of the original object in the target.
func (e *emitter) lookUp(u *emittedUnit, s *object.Symbol) (*object.Symbol, error) {
	if s.Bind != elf.STB_LOCAL {
		found := u.target.global(s)
		if found == nil {
			return nil, u.refuse(s.Name, "the target has no such symbol: it was linked out, or built from other sources")
		}
		return found, u.checkSize(s, found)
	}
	if u.group == 0 {
		group, err := u.target.fileGroup(u.pair)
		if err != nil {
			return nil, err
		}
		u.group = group
	}
	var found *object.Symbol
	for _, c := range u.target.locals[u.group][s.Name] {
		if c.Type != s.Type {
			continue
		}
		if found != nil {
			return nil, u.refuse(s.Name, "the target has several local symbols of this name in one file, which nothing tells apart")
		}
		found = c
	}
	if found == nil {
		return nil, u.refuse(s.Name, "the target has no such local symbol: it was inlined or linked out there, or built from other sources")
	}
	return found, u.checkSize(s, found)
}

// checkSize makes sure that data in the target is what the original object
// has. Code may differ in the width of jumps between sections.
func (p *pair) checkSize(s, found *object.Symbol) error {
	if s.Type == elf.STT_OBJECT && found.Size != s.Size {
		return p.refuse(s.Name, "it has %d bytes in the target and %d in the object: they were not built from the same sources", found.Size, s.Size)
	}
	return nil
}

// replace describes what n replaces in the target: nothing unless it is a
// function that exists there.
func (e *emitter) replace(u *emittedUnit, n *node) ([]patchobject.Function, error) {
	if !n.isFunction() || n.twin == nil || n.parent != nil {
		return nil, nil
	}
	f, err := e.oldFunction(u, n.twin)
	if err != nil {
		return nil, err
	}
	f.Kind, f.Symbol, f.NewSize = patchobject.Replaced, n.newName, n.primary.Size
	need := uint64(e.arch.EntryOffset(f.Code) + e.arch.JumpSize)
	if room := f.OldSize + u.target.padding(f.OldAddress, f.OldSize); room < need {
		return nil, u.refuse(f.Name, "it is too short to be redirected: %d bytes, what follows begins at %d, and %d are needed", f.OldSize, room, need)
	}
	funcs := []patchobject.Function{f}
	if n.twin.child != nil {
		cold, err := e.oldFunction(u, n.twin.child)
		if err != nil {
			return nil, err
		}
		cold.Kind = patchobject.Guarded
		funcs = append(funcs, cold)
	}
	return funcs, nil
}

// oldFunction describes the function n of the original object as it is in the
// target, with the code that processes must hold.
func (e *emitter) oldFunction(u *emittedUnit, n *node) (patchobject.Function, error) {
	s, err := e.lookUp(u, n.primary)
	if err != nil {
		return patchobject.Function{}, err
	}
	f := patchobject.Function{
		Name: n.primary.Name, Source: u.source, OldAddress: object.Address(s.Value), OldSize: s.Size,
	}
	if s.Size == 0 {
		return f, u.refuse(f.Name, "the target does not say how long it is")
	}
	if f.Code, err = u.target.bytesAt(s); err != nil {
		return f, u.refuse(f.Name, "%v", err)
	}
	if f.Code == nil {
		reference := u.recorded
		if reference == nil {
			reference = u.original
		}
		if f.Code, f.Holes, err = reference.codeOf(n.primary); err != nil {
			return f, u.refuse(f.Name, "%v", err)
		}
		if uint64(len(f.Code)) != s.Size {
			return f, u.refuse(f.Name, "it has %d bytes in the target and %d in the object: they were not built from the same sources with the same flags", s.Size, len(f.Code))
		}
	}
	f.Digest = patchobject.Digest(f.Code)
	return f, nil
}
