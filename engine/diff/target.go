package diff

import (
	"debug/elf"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/openeuler/syscare/engine/object"
)

// target is the symbol table of the target ELF, arranged for look-ups.
type target struct {
	file    *object.File
	globals map[string]*object.Symbol           // defined, by name and by name with version
	imports map[string]*object.Symbol           // undefined, with the version wanted
	locals  map[int]map[string][]*object.Symbol // by index of the STT_FILE symbol
	files   map[string][]int                    // indices of STT_FILE symbols by name
	code    map[*object.Section][]byte          // contents of text sections, nil in debuginfo
	units   map[string][]compileUnit            // debug information by base name of the source
	starts  []object.Address                    // of everything in executable sections, and where these end

	kernel *Kernel        // of a kernel and its modules, else nil
	module string         // name of a kernel's module
	sealed map[entry]bool // see sealedEntries
}

// newTarget arranges the symbols of f, an unstripped ELF or its debuginfo; kernel is nil
// for a program's.
func newTarget(f *object.File, kernel *Kernel) (*target, error) {
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN && (kernel == nil || f.Type != elf.ET_REL) {
		return nil, fmt.Errorf("ELF type %v, want an executable or a shared library", f.Type)
	}
	if f.BuildID == "" && f.Type != elf.ET_REL {
		return nil, fmt.Errorf("the target has no build ID: link it with --build-id")
	}
	if len(f.Symbols) == 0 {
		return nil, fmt.Errorf("the target has no symbol table: debuginfo is needed")
	}
	t := &target{
		file: f, globals: map[string]*object.Symbol{}, imports: map[string]*object.Symbol{},
		locals: map[int]map[string][]*object.Symbol{}, files: map[string][]int{},
		code: map[*object.Section][]byte{}, kernel: kernel,
	}
	for _, s := range f.Symbols {
		switch {
		case s.Type == elf.STT_FILE:
			t.files[s.Name] = append(t.files[s.Name], s.Index)
		case s.Name == "" || s.Type == elf.STT_SECTION:
		case !s.Defined():
			t.imports[s.Name] = s
		case s.Bind == elf.STB_LOCAL:
			group := t.locals[s.FileIndex]
			if group == nil {
				group = map[string][]*object.Symbol{}
				t.locals[s.FileIndex] = group
			}
			group[s.Name] = append(group[s.Name], s)
		default:
			// Without a version the default one is meant, as with "@@".
			if t.globals[s.Name] == nil || s.Version == "" || strings.Contains(s.FullName(), "@@") {
				t.globals[s.Name] = s
			}
			t.globals[s.FullName()] = s
		}
	}
	for _, s := range f.Dynamic {
		if s.Name != "" && !s.Defined() {
			t.imports[s.Name] = s
		}
	}
	// Hidden globals become local symbols behind a nameless STT_FILE.
	for _, index := range t.files[""] {
		for name, symbols := range t.locals[index] {
			if t.globals[name] == nil && len(symbols) == 1 {
				t.globals[name] = symbols[0]
			}
		}
	}
	return t, nil
}

// global finds a global symbol of an object in the target: under its name with
// its version, else under its name.
func (t *target) global(s *object.Symbol) *object.Symbol {
	if found := t.globals[s.FullName()]; found != nil {
		return found
	}
	if s.Version != "" {
		return nil
	}
	return t.globals[s.Name]
}

// preemptible reports whether another object's definition may stand in the
// place of s: the target looks like a shared library, and linking left s as
// others can see it.
func (t *target) preemptible(s *object.Symbol) bool {
	return t.file.Type == elf.ET_DYN && t.file.Section(".interp") == nil && s.Bind != elf.STB_LOCAL && s.Visibility == elf.STV_DEFAULT
}

// padding is how many bytes behind a function of that address and size belong
// to nothing.
func (t *target) padding(address object.Address, size uint64) uint64 {
	if t.starts == nil {
		for _, s := range t.file.Symbols {
			if s.Section != nil && s.Section.Flags&elf.SHF_EXECINSTR != 0 {
				t.starts = append(t.starts, object.Address(s.Value))
			}
		}
		for _, s := range t.file.Sections {
			if s.Flags&elf.SHF_EXECINSTR != 0 {
				t.starts = append(t.starts, s.Address+object.Address(s.Size))
			}
		}
		slices.Sort(t.starts)
	}
	end := address + object.Address(size)
	if i, _ := slices.BinarySearch(t.starts, end); i < len(t.starts) {
		return uint64(t.starts[i] - end)
	}
	return 0
}

// bytesAt returns the target's code at s, nil if the file does not hold it.
func (t *target) bytesAt(s *object.Symbol) ([]byte, error) {
	if s.Section == nil || s.Section.Type == elf.SHT_NOBITS {
		return nil, nil
	}
	data, known := t.code[s.Section]
	if !known {
		var err error
		if data, err = s.Section.Bytes(); err != nil {
			return nil, err
		}
		t.code[s.Section] = data
	}
	start := s.Value - uint64(s.Section.Address)
	if start > uint64(len(data)) || s.Size > uint64(len(data))-start {
		return nil, fmt.Errorf("symbol %q lies outside its section", s.Name)
	}
	return data[start : start+s.Size], nil
}

// fileGroup finds the STT_FILE group of a unit: the one whose local symbols
// are those of the unit's object. Several sources may have the same name; what
// the symbols leave open is settled by the debug information, or not at all.
func (t *target) fileGroup(p *pair) (int, error) {
	reference := p.recorded
	if reference == nil {
		reference = p.original
	}
	name, locals := unitLocals(reference.file)
	var best []int
	bestCount := 0
	for _, index := range t.files[name] {
		count, fits := t.matchLocals(index, locals, p.recorded != nil)
		if !fits || count < bestCount {
			continue
		}
		if count > bestCount {
			best, bestCount = nil, count
		}
		best = append(best, index)
	}
	if len(best) > 1 {
		settled, err := t.settleByDebugInfo(p, best)
		if err != nil {
			return 0, p.refuse("", "%d files named %q in the target have the same local symbols, and the debug information that could tell them apart cannot be read: %v", len(best), name, err)
		}
		best = settled
	}
	switch len(best) {
	case 1:
		return best[0], nil
	case 0:
		return 0, p.refuse("", "the target has no file symbol %q with the local symbols of this unit: it was built from other sources or with other flags", name)
	}
	return 0, p.refuse("", "%d files named %q in the target have the same local symbols, and the debug information does not tell them apart", len(best), name)
}

// unitLocals returns the name of the STT_FILE symbol of an object and its
// local functions and data.
func unitLocals(f *object.File) (name string, locals []*object.Symbol) {
	for _, s := range f.Symbols {
		if s.Type == elf.STT_FILE && name == "" {
			name = s.Name
		}
		if s.Bind == elf.STB_LOCAL && s.Name != "" && (s.Type == elf.STT_FUNC || s.Type == elf.STT_OBJECT || s.Type == elf.STT_TLS) {
			locals = append(locals, s)
		}
	}
	return path.Base(name), locals
}

// matchLocals counts how many of locals the group has. Sizes of data must
// agree, sizes of code only if the object was compiled with the same flags.
func (t *target) matchLocals(index int, locals []*object.Symbol, sameFlags bool) (count int, fits bool) {
	for _, s := range locals {
		found := t.locals[index][s.Name]
		if len(found) == 0 {
			continue // dropped by the linker, perhaps
		}
		same := false
		for _, c := range found {
			same = same || c.Type == s.Type && (c.Size == s.Size || s.Type == elf.STT_FUNC && !sameFlags)
		}
		if !same {
			return 0, false
		}
		count++
	}
	return count, true
}
