package diff

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"

	"github.com/openeuler/syscare/engine/object"
)

// emitSpecial adds the entries about n to the patch's tables.
func (l *livepatch) emitSpecial(e *emitter, u *emittedUnit, n *node) error {
	for _, entry := range n.special {
		if l.ibt && special(entry.name).objtool {
			continue // it makes them of the whole module
		}
		relocs, wanted, err := l.bindEntry(e, u, n, entry)
		if err != nil {
			return err
		}
		if !wanted {
			continue
		}
		e.append(entry, relocs)
		if entry.companion != nil {
			e.append(entry.companion, nil)
		}
	}
	return nil
}

// append adds an entry to the section of its name.
func (e *emitter) append(entry *node, relocs []object.BuildReloc) {
	s := e.tables[entry.name]
	if s == nil {
		s = e.out.AddSection(&object.BuildSection{
			Name: entry.name, Type: elf.SHT_PROGBITS, Flags: entry.section.Flags & (elf.SHF_ALLOC | elf.SHF_WRITE), Align: entry.section.Align,
		})
		e.tables[entry.name] = s
	}
	for _, r := range relocs {
		r.Offset += uint64(len(s.Data))
		s.Relocs = append(s.Relocs, r)
	}
	s.Data = append(s.Data, entry.data...)
}

// bindEntry finds what an entry about n refers to. An entry that is left out makes the code
// do what it does by itself: a place for tracing stays off.
func (l *livepatch) bindEntry(e *emitter, u *emittedUnit, n, entry *node) (relocs []object.BuildReloc, wanted bool, err error) {
	key, hasKey := keyOf(entry)
	for _, r := range entry.relocs {
		typ, err := e.arch.Reloc(r.Type)
		if err != nil {
			return nil, false, u.refuse(n.name, "section %q: %v", entry.name, err)
		}
		symbol, addend, err := e.resolve(u, entry, typ, r)
		if err != nil {
			return nil, false, err
		}
		if reached, _, ok := ParseReference(symbol.Name); ok && reached != vmlinux {
			switch {
			case hasKey && (strings.HasPrefix(key.Symbol.Name, "__tracepoint_") || strings.HasPrefix(key.Symbol.Name, "__SCK__tp_func_")):
				note := fmt.Sprintf("%s: %s: the new code does not report to the tracepoint %s of module %s", u.source, n.name, strings.TrimPrefix(strings.TrimPrefix(key.Symbol.Name, "__tracepoint_"), "__SCK__tp_func_"), reached)
				if !slices.Contains(l.notes, note) {
					l.notes = append(l.notes, note)
				}
				return nil, false, nil
			case hasKey:
				return nil, false, u.refuse(n.name, "it depends on the static key or static call %q of module %s, which need not be there when the patch is loaded", keyName(key), reached)
			}
			return nil, false, u.refuse(n.name, "section %q refers to module %s, which need not be there when the patch is loaded", entry.name, reached)
		}
		relocs = append(relocs, object.BuildReloc{Offset: r.Offset, Type: r.Type, Symbol: symbol, Addend: addend})
	}
	return relocs, true, nil
}

// keyName is the name of a key, or of the section that it is in.
func keyName(key object.Reloc) string {
	if key.Symbol.Name == "" && key.Symbol.Section != nil {
		return key.Symbol.Section.Name
	}
	return key.Symbol.Name
}

// isKey reports whether a variable is the key that code is switched by.
func (p *pair) isKey(n *node) bool {
	for _, f := range p.patched.nodes {
		for _, entry := range f.special {
			key, ok := keyOf(entry)
			if !ok {
				continue
			}
			if to, inside := p.patched.refersTo(entry, key); inside && to.node == n {
				return true
			}
		}
	}
	return false
}
