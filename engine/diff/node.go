package diff

import (
	"debug/elf"
	"fmt"
	"regexp"
	"sort"
	"strings"

	"github.com/openeuler/syscare/engine/isa"
	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
)

// nodeKind says what a section holds.
type nodeKind int

const (
	kindFunction  nodeKind = iota + 1
	kindData               // named data, constant or not, with one place in the target
	kindAnonymous          // read-only data without a name that lasts: jump tables, __func__, CSWTCH
	kindPool               // SHF_MERGE: strings and constants, referred to piece by piece
	kindTLS
	kindSpecial // an entry of a kernel's table beside the code, see specialSection
)

// node is one allocated section of a unit: with one section per function and
// datum, a node is a function or datum.
type node struct {
	section *object.Section
	kind    nodeKind
	name    string           // of the primary symbol, else of the section
	symbols []*object.Symbol // functions or data at their offsets, by value then name
	primary *object.Symbol   // nil for pools and tables without a symbol
	data    []byte
	relocs  []object.Reloc

	frames []*frameEntry // of a function: its unwind records
	unwind *node         // of a function: what these refer to, as a node without contents; nil if nothing

	twin    *node // the node of the other object that it corresponds to
	changed bool  // of a node of the patched object that has a twin
	copied  bool  // of a datum: new code gets another one
	parent  *node // of f.cold: f
	child   *node // of f: f.cold

	neededBy *node // of one that is in the patch: what else in it uses it; nil if it is there by itself

	owner string // of a static local: the function that has it in the source, "" if unknown
	start uint64 // of a piece: where in its section it begins

	kernel    bool    // of a kernel's object
	special   []*node // of a function: the entries about it
	companion *node   // of an entry: that of the companion section
	byCallers bool    // of a function: those that call it are replaced instead of it
	calls     *node   // of a function that is replaced for that alone: whom it calls
	newName   string  // of the symbol of primary in the patch
}

func (n *node) isFunction() bool { return n.kind == kindFunction }
func (n *node) isCode() bool     { return n.section.Flags&elf.SHF_EXECINSTR != 0 }
func (n *node) isHook() bool     { return strings.HasPrefix(n.section.Name, patchobject.HookPrefix) }
func (n *node) writable() bool {
	return n.section.Flags&elf.SHF_WRITE != 0 && !strings.HasPrefix(n.section.Name, ".data.rel.ro")
}

// unit is one object file as nodes.
type unit struct {
	file      *object.File
	arch      *isa.Arch
	nodes     []*node
	bySection map[*object.Section]*node
	pieces    map[*object.Section][]*node // of sections cut into pieces
	ends      map[*node][]uint64          // instruction ends, see instructionEnd
	callers   map[*node][]*node           // functions that refer to a node, in file order

	kernel  *Kernel         // of a kernel's object, else nil
	special []*node         // special sections, whole
	taken   map[string]bool // functions whose address it takes, see takesAddress
}

// renumbered matches the parts of a name that compilers number afresh.
var (
	numberSuffix = regexp.MustCompile(`(\.\d+)+$`)
	cloneNumber  = regexp.MustCompile(`\.(constprop|isra|part|cold|lto_priv)\.\d+`)
	// anonymousName matches the names that compilers invent for constants:
	// "C.12.3456" is a constant aggregate. A variable that the user called C
	// or L has no digits after a dot, or is a static local and not read-only.
	// Those of clang name the function that they belong to.
	anonymousName = regexp.MustCompile(`^((__func__|__FUNCTION__|__PRETTY_FUNCTION__|CSWTCH|C)\.\d+(\.\d+)*$|reltable\.|switch\.table\.|__const\.)`)
)

// baseName is name without what compilers renumber.
func baseName(name string) string {
	if strings.HasPrefix(name, "__UNIQUE_ID_") { // the kernel's __UNIQUE_ID() counts
		return strings.TrimRight(name, "0123456789")
	}
	return numberSuffix.ReplaceAllString(cloneNumber.ReplaceAllString(name, ".$1"), "")
}

// patchableEntries lists where -fpatchable-function-entry left room for tools
// that trace programs. No code refers to it, and new code is not for tracing.
const patchableEntries = "__patchable_function_entries"

// paddingPrefix begins the names that objtool gives to the room before functions in a
// kernel with CALL_PADDING.
const paddingPrefix = "__pfx_"

// loadUnit turns the allocated sections of f into nodes; kernel is nil for a program's.
func loadUnit(f *object.File, kernel *Kernel) (*unit, error) {
	arch, err := isa.ForMachine(f.Machine)
	if err != nil {
		return nil, err
	}
	if f.Type != elf.ET_REL {
		return nil, fmt.Errorf("ELF type %v, want a relocatable object", f.Type)
	}
	u := &unit{file: f, arch: arch, bySection: map[*object.Section]*node{}, callers: map[*node][]*node{},
		pieces: map[*object.Section][]*node{}, ends: map[*node][]uint64{}, kernel: kernel}
	for _, s := range f.Sections {
		if s.Flags&elf.SHF_ALLOC == 0 || s.Type == elf.SHT_NOTE || s.Name == ehFrame || s.Name == patchableEntries || s.Size == 0 && kernel == nil {
			continue // a kernel's locks have keys without a size, of which the address counts
		}
		if kernel != nil && kernelNotes(s.Name) {
			continue
		}
		n := &node{section: s, name: s.Name, kernel: kernel != nil}
		if n.data, err = s.Bytes(); err != nil {
			return nil, err
		}
		if kernel != nil && special(s.Name) != nil {
			n.kind = kindSpecial
			u.special = append(u.special, n)
			continue
		}
		u.nodes = append(u.nodes, n)
		u.bySection[s] = n
	}
	if err := u.readRelocs(); err != nil {
		return nil, err
	}
	for _, s := range f.Symbols {
		n := u.bySection[s.Section]
		if n == nil || s.Name == "" || strings.HasPrefix(s.Name, ".L") || kernel != nil && strings.HasPrefix(s.Name, paddingPrefix) {
			continue
		}
		switch s.Type {
		case elf.STT_FUNC, elf.STT_OBJECT, elf.STT_TLS, elf.STT_GNU_IFUNC, elf.STT_NOTYPE:
			n.symbols = append(n.symbols, s)
		}
	}
	for _, n := range u.nodes {
		n.classify()
	}
	if err := u.attachFrames(); err != nil {
		return nil, err
	}
	if kernel != nil {
		u.splitBySymbols()
	}
	u.splitUnnamed()
	if err := u.attachSpecial(); err != nil {
		return nil, err
	}
	u.linkColdParts()
	u.indexCallers()
	return u, nil
}

func (u *unit) readRelocs() error {
	for _, s := range u.file.Sections {
		if s.Type != elf.SHT_RELA && s.Type != elf.SHT_REL || int(s.Info) >= len(u.file.Sections) {
			continue
		}
		n := u.bySection[u.file.Sections[s.Info]]
		for _, other := range u.special {
			if other.section.Index == int(s.Info) {
				n = other
			}
		}
		if n == nil {
			continue
		}
		relocs, err := u.file.ReadRela(s)
		if err != nil {
			return err
		}
		sort.SliceStable(relocs, func(i, j int) bool { return relocs[i].Offset < relocs[j].Offset })
		for _, r := range relocs {
			if r.Type != 0 { // R_*_NONE
				n.relocs = append(n.relocs, r)
			}
		}
	}
	return nil
}

func (n *node) classify() {
	sort.SliceStable(n.symbols, func(i, j int) bool {
		a, b := n.symbols[i], n.symbols[j]
		if a.Value != b.Value {
			return a.Value < b.Value
		}
		// Of several names for one place (constructors and destructors have
		// two) the one that the section has comes first.
		ofA, ofB := strings.HasSuffix(n.section.Name, "."+a.Name), strings.HasSuffix(n.section.Name, "."+b.Name)
		if ofA != ofB {
			return ofA
		}
		return a.Bind != elf.STB_LOCAL && b.Bind == elf.STB_LOCAL
	})
	for _, s := range n.symbols {
		if s.Type != elf.STT_NOTYPE {
			n.primary = s
			n.name = s.Name
			break
		}
	}
	flags := n.section.Flags
	switch {
	case n.kernel && n.primary == nil && (n.section.Name == replacements || n.section.Name == slowPaths || n.section.Name == fixups),
		n.kernel && n.section.Name == debugMessages:
		n.kind = kindAnonymous
	case flags&elf.SHF_EXECINSTR != 0:
		n.kind = kindFunction
	case flags&elf.SHF_TLS != 0:
		n.kind = kindTLS
	case flags&elf.SHF_MERGE != 0 && n.primary == nil:
		n.kind = kindPool
	case n.primary == nil && (!n.writable() || n.isConstantPool()),
		n.primary != nil && n.primary.Bind == elf.STB_LOCAL && !n.writable() && anonymousName.MatchString(n.name),
		n.isLabelTable(), strings.HasPrefix(n.name, "DW.ref."):
		n.kind = kindAnonymous
	default:
		n.kind = kindData
	}
}

// isConstantPool recognises what gcc puts into .data without a symbol: initial
// values of local aggregates that hold addresses. Everything that a program can
// change has a symbol.
func (n *node) isConstantPool() bool {
	return n.section.Type == elf.SHT_PROGBITS && (n.section.Name == ".data" || strings.HasPrefix(n.section.Name, ".data."))
}

// isLabelTable recognises the static table of a computed goto: local data made
// of addresses inside one function, which move with its code.
func (n *node) isLabelTable() bool {
	if n.primary == nil || n.primary.Bind != elf.STB_LOCAL || len(n.relocs) == 0 || len(n.relocs)*8 != len(n.data) {
		return false
	}
	first := n.relocs[0].Symbol.Section
	for _, r := range n.relocs {
		s := r.Symbol.Section
		if s == nil || s != first || s.Flags&elf.SHF_EXECINSTR == 0 || r.Symbol.Type != elf.STT_SECTION || r.Addend == 0 {
			return false
		}
	}
	return true
}

// linkColdParts ties f.cold to f.
func (u *unit) linkColdParts() {
	byName := map[string]*node{}
	for _, n := range u.nodes {
		if n.isFunction() {
			byName[n.name] = n
		}
	}
	for _, n := range u.nodes {
		if !n.isFunction() {
			continue
		}
		base, found := strings.CutSuffix(numberSuffix.ReplaceAllString(n.name, ""), ".cold")
		if parent := byName[base]; found && parent != nil {
			n.parent, parent.child = parent, n
		}
	}
}

func (u *unit) indexCallers() {
	for _, n := range u.nodes {
		if !n.isFunction() {
			continue
		}
		seen := map[*node]bool{}
		for _, r := range n.relocs {
			if to, inside := u.refersTo(n, r); inside && !seen[to.node] {
				seen[to.node] = true
				u.callers[to.node] = append(u.callers[to.node], n)
			}
		}
	}
}

// place is what a relocation refers to inside its unit.
type place struct {
	node   *node
	offset int64 // in the node, with the addend, without the correction for the program counter
}

// refersTo gives the place that r in node from refers to; ok is false for
// outside symbols.
func (u *unit) refersTo(from *node, r object.Reloc) (place, bool) {
	if r.Symbol.Section == nil || u.bySection[r.Symbol.Section] == nil {
		return place{}, false
	}
	n := u.nodeAt(from, r)
	return place{node: n, offset: int64(r.Symbol.Value) + r.Addend - int64(n.start)}, true
}

// poolPiece returns the string or constant of a pool that r refers to, and how
// far into it. Assemblers keep the symbol of pooled data in program counter
// relative references, and give exact offsets in absolute ones.
//
// Clang's tables of strings hold their distances from the table.
func (n *node) poolPiece(from *node, typ isa.RelocType, r object.Reloc) (piece []byte, delta int64, err error) {
	start, delta := int64(r.Symbol.Value), r.Addend
	switch {
	case r.Symbol.Type != elf.STT_SECTION:
	case typ.Kind == isa.Absolute, from.kind == kindSpecial:
		start, delta = r.Addend, 0
	case strings.HasPrefix(from.name, "reltable."):
		start, delta = r.Addend-int64(r.Offset), int64(r.Offset)
		if start > 0 && start <= int64(len(n.data)) && n.data[start-1] != 0 {
			return nil, 0, fmt.Errorf("section %q: no string begins at %#x", n.section.Name, start)
		}
	default:
		return nil, 0, fmt.Errorf("section %q: %s without the symbol of a constant", n.section.Name, typ.Name)
	}
	if start < 0 || start >= int64(len(n.data)) {
		return nil, 0, fmt.Errorf("section %q: reference outside it at %#x", n.section.Name, start)
	}
	if n.section.Flags&elf.SHF_STRINGS == 0 {
		// Compilers use a part of a larger constant as a smaller one.
		size := max(int64(n.section.EntSize), 1)
		whole := start / size * size
		if whole+size > int64(len(n.data)) {
			return nil, 0, fmt.Errorf("section %q: constant at %#x is cut short", n.section.Name, start)
		}
		return n.data[whole : whole+size], delta + start - whole, nil
	}
	width := max(int(n.section.EntSize), 1)
	end := int(start)
	for ; ; end += width {
		if end+width > len(n.data) {
			return nil, 0, fmt.Errorf("section %q: string at %#x has no end", n.section.Name, start)
		}
		if isZero(n.data[end : end+width]) {
			return n.data[start : end+width], delta, nil
		}
	}
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
