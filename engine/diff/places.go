package diff

import (
	"debug/elf"
	"slices"

	"github.com/openeuler/syscare/engine/object"
)

// Kernels before 6.3 fill in what a livepatch refers to in a module each time the module is
// loaded, and want the places to be zero: after the second time the module cannot be loaded
// any more. So the patch has a list of these places, by which its own code clears them when
// the module goes, with what the kernel itself writes its code with.

// latePlace is a place that is filled in when a module is there.
type latePlace struct {
	section *object.BuildSection
	offset  uint64
	size    int
}

// Symbols of Livepatch.Object for clearing places.
const (
	// PlacesPrefix begins the name of a module's list of places: addresses and sizes in
	// bytes, 8 bytes each.
	PlacesPrefix = "syscare_places_"
	// PokeFunctions is a table of addresses in the kernel: text_poke, text_poke_sync and
	// text_mutex.
	PokeFunctions = "syscare_poke"
)

// emitPlaces adds the lists of places, unless the kernel clears them by itself.
func (l *livepatch) emitPlaces(e *emitter) error {
	if len(l.late) == 0 || l.kernel.globals["clear_relocate_add"] != nil {
		return nil
	}
	table := e.out.AddSection(&object.BuildSection{Name: ".rodata." + PokeFunctions, Type: elf.SHT_PROGBITS, Flags: elf.SHF_ALLOC, Align: 8})
	e.out.AddSymbol(&object.BuildSymbol{Name: PokeFunctions, Section: table, Size: 24, Bind: elf.STB_GLOBAL, Type: elf.STT_OBJECT})
	for _, name := range []string{"text_poke", "text_poke_sync", "text_mutex"} {
		s := l.kernel.globals[name]
		if s == nil {
			return e.units[0].refuse("", "this kernel has no %s, by which a patch of a module is cleared when the module goes", name)
		}
		position, err := l.position(e.units[0], l.kernel, s)
		if err != nil {
			return err
		}
		symbol := e.undefined(referenceName(vmlinux, vmlinux, name, position), elf.STB_WEAK)
		table.Relocs = append(table.Relocs, object.BuildReloc{Offset: uint64(len(table.Data)), Type: uint32(elf.R_X86_64_64), Symbol: symbol})
		table.Data = append(table.Data, make([]byte, 8)...)
	}
	var modules []string
	for module := range l.late {
		modules = append(modules, module)
	}
	slices.Sort(modules)
	for _, module := range modules {
		places := l.late[module]
		list := e.out.AddSection(&object.BuildSection{Name: ".rodata." + PlacesPrefix + module, Type: elf.SHT_PROGBITS, Flags: elf.SHF_ALLOC, Align: 8})
		e.out.AddSymbol(&object.BuildSymbol{Name: PlacesPrefix + module, Section: list, Size: uint64(16 * len(places)), Bind: elf.STB_GLOBAL, Type: elf.STT_OBJECT})
		for _, p := range places {
			list.Relocs = append(list.Relocs, object.BuildReloc{
				Offset: uint64(len(list.Data)), Type: uint32(elf.R_X86_64_64), Symbol: e.bases[p.section], Addend: int64(p.offset),
			})
			list.Data = append(list.Data, 0, 0, 0, 0, 0, 0, 0, 0, byte(p.size), 0, 0, 0, 0, 0, 0, 0)
		}
		l.object(module).Places = len(places)
	}
	return nil
}
