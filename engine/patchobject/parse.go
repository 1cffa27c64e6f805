package patchobject

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/google/uuid"

	"github.com/openeuler/syscare/engine/object"
)

// MaxSize bounds a patch object in bytes.
const MaxSize = 64 << 20

// ErrCorrupt says that a file is no patch object that this version accepts.
var ErrCorrupt = errors.New("not a valid patch object")

// Object is a checked patch object.
type Object struct {
	Info     Info
	Funcs    []Function
	Binds    map[string]Bind // by Bind.Symbol
	Sections []Section       // the allocated ones, in order
	Symbols  map[string]Symbol
}

// Section is an allocated section with its relocations.
type Section struct {
	Name     string
	Index    int // in Object.Sections
	Writable bool
	Exec     bool
	Align    uint64
	Size     uint64 // in memory
	Data     []byte // nil for zero-filled sections
	Relocs   []Reloc
}

// Symbol is a defined symbol.
type Symbol struct {
	Name    string
	Section int // index in Object.Sections
	Offset  uint64
	Size    uint64
	Func    bool
}

// Reloc is a relocation against a place in the patch or a bind.
type Reloc struct {
	Offset  uint64
	Type    uint32
	Addend  int64
	Bind    string // Bind.Symbol, or "" when the target is in the patch:
	Section int    // index in Object.Sections
	Value   uint64 // offset in that section, without Addend
}

// Load reads and parses the patch object at path.
func Load(path string) (*Object, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, err
	}
	obj, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return obj, nil
}

// Parse checks data against the rules of the format.
func Parse(data []byte) (*Object, error) {
	obj, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return obj, nil
}

func parse(data []byte) (*Object, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("more than %d bytes", MaxSize)
	}
	f, err := object.Read(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if f.Type != elf.ET_REL {
		return nil, fmt.Errorf("ELF type %v, want a relocatable file", f.Type)
	}
	obj := &Object{Binds: map[string]Bind{}, Symbols: map[string]Symbol{}}
	var binds []Bind
	for name, into := range map[string]any{InfoSection: &obj.Info, FuncsSection: &obj.Funcs, BindsSection: &binds} {
		if err := decodeSection(f, name, into); err != nil {
			return nil, err
		}
	}
	if err := checkInfo(obj.Info); err != nil {
		return nil, err
	}
	for _, b := range binds {
		if err := checkBind(b); err != nil {
			return nil, err
		}
		if _, dup := obj.Binds[b.Symbol]; dup {
			return nil, fmt.Errorf("bind %q is there twice", b.Symbol)
		}
		obj.Binds[b.Symbol] = b
	}
	places, err := obj.takeSections(f)
	if err != nil {
		return nil, err
	}
	if err := obj.takeSymbols(f, places); err != nil {
		return nil, err
	}
	if err := obj.takeRelocs(f, places); err != nil {
		return nil, err
	}
	return obj, obj.checkFuncs()
}

func decodeSection(f *object.File, name string, into any) error {
	s := f.Section(name)
	if s == nil {
		return fmt.Errorf("section %q is missing", name)
	}
	data, err := s.Bytes()
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("section %q: %w", name, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("section %q: data after its value", name)
	}
	return nil
}

func checkInfo(info Info) error {
	if info.Format != FormatVersion {
		return fmt.Errorf("format version %d, this program reads version %d", info.Format, FormatVersion)
	}
	if id, err := uuid.Parse(info.UUID); err != nil || id.String() != info.UUID {
		return fmt.Errorf("UUID %q is not in its canonical form", info.UUID)
	}
	if id, err := object.ParseBuildID(string(info.TargetID)); err != nil || id != info.TargetID {
		return fmt.Errorf("target build ID %q is not lower-case hexadecimal", info.TargetID)
	}
	if info.Arch != "x86_64" {
		return fmt.Errorf("architecture %q is not supported", info.Arch)
	}
	return nil
}

func checkBind(b Bind) error {
	switch b.Kind {
	case BindTarget, BindDynamic, BindTLS, BindDynamicTLS:
	default:
		return fmt.Errorf("bind %q: kind %q is unknown", b.Symbol, b.Kind)
	}
	switch b.Type {
	case Func, Data, Untyped:
	default:
		return fmt.Errorf("bind %q: type %q is unknown", b.Symbol, b.Type)
	}
	if b.Kind != BindTarget && (b.Preemptible || b.Indirect) {
		return fmt.Errorf("bind %q: only what is in the target is preemptible or indirect", b.Symbol)
	}
	if b.Symbol == "" || b.Name == "" {
		return errors.New("a bind has no name")
	}
	return nil
}

// takeSections fills obj.Sections and returns the index there of each ELF
// section.
func (obj *Object) takeSections(f *object.File) (map[int]int, error) {
	places := map[int]int{}
	var total uint64
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_ALLOC == 0 {
			continue
		}
		out := Section{
			Name: s.Name, Index: len(obj.Sections), Align: max(s.Align, 1), Size: s.Size,
			Writable: s.Flags&elf.SHF_WRITE != 0, Exec: s.Flags&elf.SHF_EXECINSTR != 0,
		}
		if s.Flags&elf.SHF_TLS != 0 {
			return nil, fmt.Errorf("section %q: new thread-local variables are not supported", s.Name)
		}
		if out.Writable && out.Exec {
			return nil, fmt.Errorf("section %q is both writable and executable", s.Name)
		}
		if out.Align&(out.Align-1) != 0 || out.Align > 4096 {
			return nil, fmt.Errorf("section %q: alignment %d is not a power of two up to 4096", s.Name, out.Align)
		}
		if total += s.Size; s.Size > MaxSize || total > MaxSize {
			return nil, fmt.Errorf("section %q: the patch needs more than %d bytes of memory", s.Name, MaxSize)
		}
		var err error
		if out.Data, err = s.Bytes(); err != nil {
			return nil, err
		}
		if s.Type != elf.SHT_NOBITS && uint64(len(out.Data)) != out.Size {
			return nil, fmt.Errorf("section %q: %d bytes in the file, %d in memory", s.Name, len(out.Data), out.Size)
		}
		switch kind := out.Hooks(); {
		case kind == "":
		case kind != PreApply && kind != PostApply && kind != PreRemove && kind != PostRemove:
			return nil, fmt.Errorf("section %q: hooks of this kind are not known", s.Name)
		case out.Data == nil || out.Size%8 != 0 || out.Size > maxHooks*8:
			return nil, fmt.Errorf("section %q: not a list of up to %d hooks", s.Name, maxHooks)
		}
		places[s.Index] = out.Index
		obj.Sections = append(obj.Sections, out)
	}
	return places, nil
}

func (obj *Object) takeSymbols(f *object.File, places map[int]int) error {
	seen := map[string]bool{}
	for _, s := range f.Symbols {
		if s.Index == 0 || s.Type == elf.STT_FILE || s.Type == elf.STT_SECTION {
			continue
		}
		if seen[s.FullName()] {
			return fmt.Errorf("symbol %q is there twice", s.FullName())
		}
		seen[s.FullName()] = true
		if !s.Defined() {
			if _, ok := obj.Binds[s.FullName()]; !ok {
				return fmt.Errorf("undefined symbol %q has no bind", s.FullName())
			}
			continue
		}
		if s.Section == nil {
			return fmt.Errorf("symbol %q is in no section", s.Name)
		}
		place, ok := places[s.Section.Index]
		if !ok || s.Value > s.Section.Size || s.Size > s.Section.Size-s.Value {
			return fmt.Errorf("symbol %q does not lie in a loaded section", s.Name)
		}
		obj.Symbols[s.FullName()] = Symbol{
			Name: s.FullName(), Section: place, Offset: s.Value, Size: s.Size, Func: s.Type == elf.STT_FUNC,
		}
	}
	for name := range obj.Binds {
		if _, defined := obj.Symbols[name]; defined || !seen[name] {
			return fmt.Errorf("bind %q has no undefined symbol", name)
		}
	}
	return nil
}

func (obj *Object) takeRelocs(f *object.File, places map[int]int) error {
	for index, place := range places {
		out := &obj.Sections[place]
		relocs, err := f.Relocs(f.Sections[index])
		if err != nil {
			return err
		}
		if len(relocs) > 0 && out.Data == nil {
			return fmt.Errorf("section %q: relocations in a section without contents", out.Name)
		}
		for _, r := range relocs {
			if r.Offset >= out.Size || r.Symbol == nil || r.Symbol.Index == 0 {
				return fmt.Errorf("section %q: relocation at %#x is not valid", out.Name, r.Offset)
			}
			reloc := Reloc{Offset: r.Offset, Type: r.Type, Addend: r.Addend}
			if !r.Symbol.Defined() {
				reloc.Bind = r.Symbol.FullName()
			} else {
				target, ok := 0, false
				if r.Symbol.Section != nil {
					target, ok = places[r.Symbol.Section.Index]
				}
				if !ok {
					return fmt.Errorf("section %q: relocation at %#x refers to %q, which is not loaded", out.Name, r.Offset, r.Symbol.Name)
				}
				reloc.Section, reloc.Value = target, r.Symbol.Value
			}
			out.Relocs = append(out.Relocs, reloc)
		}
	}
	return nil
}

func (obj *Object) checkFuncs() error {
	if len(obj.Funcs) == 0 {
		return errors.New("no function is replaced")
	}
	for _, fn := range obj.Funcs {
		if fn.Name == "" || uint64(len(fn.Code)) != fn.OldSize || fn.OldSize == 0 {
			return fmt.Errorf("function %q: %d bytes of code for a size of %d", fn.Name, len(fn.Code), fn.OldSize)
		}
		if fn.OldAddress+object.Address(fn.OldSize) < fn.OldAddress {
			return fmt.Errorf("function %q: its address range wraps around", fn.Name)
		}
		if Digest(fn.Code) != fn.Digest {
			return fmt.Errorf("function %q: the code does not match its digest", fn.Name)
		}
		for _, h := range fn.Holes {
			if uint64(h.Offset)+uint64(h.Length) > fn.OldSize {
				return fmt.Errorf("function %q: a hole lies outside its code", fn.Name)
			}
		}
		switch fn.Kind {
		case Replaced:
			s, ok := obj.Symbols[fn.Symbol]
			if !ok || !s.Func || !obj.Sections[s.Section].Exec {
				return fmt.Errorf("function %q: its new code %q is not there", fn.Name, fn.Symbol)
			}
		case Guarded:
			if fn.Symbol != "" {
				return fmt.Errorf("function %q: a guarded range has no new code", fn.Name)
			}
		default:
			return fmt.Errorf("function %q: kind %q is unknown", fn.Name, fn.Kind)
		}
	}
	inOrder := slices.Clone(obj.Funcs)
	slices.SortFunc(inOrder, func(a, b Function) int { return cmp.Compare(a.OldAddress, b.OldAddress) })
	for i := 1; i < len(inOrder); i++ {
		before, after := inOrder[i-1], inOrder[i]
		if after.OldAddress < before.OldAddress+object.Address(before.OldSize) {
			return fmt.Errorf("functions %q and %q overlap in the target", before.Name, after.Name)
		}
	}
	return nil
}
