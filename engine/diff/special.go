package diff

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"

	"github.com/openeuler/syscare/engine/object"
)

// Kernel is what has to be known of a kernel to compare its objects.
type Kernel struct {
	// Sizes are those of the C structures that specialSections names, bytes, as far as the
	// kernel has them.
	Sizes map[string]int
	// IBT says that the processor checks indirect branches (CONFIG_X86_KERNEL_IBT). The
	// kernel's build runs objtool over whole modules then, not over each object.
	IBT bool
}

// specialSection is one kind of table that a kernel's objects have beside their code:
// an array of entries of one size, each about one place in a function, whose address is
// the first field. No code refers to them.
type specialSection struct {
	name      string
	structure string // in the kernel's headers; "" if entries are numbers of size bytes
	size      int
	// companion is a section with one entry, of that structure, for each one here.
	companion, companionStructure string
	// derived says that the entries follow from the code: two functions do not differ by
	// them.
	derived bool
	// objtool says that objtool makes them.
	objtool bool
}

// specialSections are those of x86 kernels: arch/x86/include/asm/{bug,asm,alternative,
// paravirt,orc_types}.h, include/linux/{jump_label,static_call_types}.h, and what objtool
// and the compiler (-mrecord-mcount) add.
var specialSections = []specialSection{
	{name: "__bug_table", structure: "bug_entry"},
	{name: "__ex_table", structure: "exception_table_entry"},
	{name: jumpTable, structure: "jump_entry"},
	{name: staticCallSites, structure: "static_call_site", objtool: true},
	{name: ".altinstructions", structure: "alt_instr"},
	{name: ".parainstructions", structure: "paravirt_patch_site"},
	{name: ".smp_locks", size: 4},
	{name: ".retpoline_sites", size: 4, objtool: true},
	{name: ".return_sites", size: 4, objtool: true},
	{name: ".call_sites", size: 4, objtool: true},
	{name: sealedEntries, size: 4, objtool: true},
	{name: mcountLoc, size: 8},
	{name: ".orc_unwind_ip", size: 4, companion: ".orc_unwind", companionStructure: "orc_entry", derived: true, objtool: true},
}

const (
	jumpTable       = "__jump_table"
	staticCallSites = ".static_call_sites"
	mcountLoc       = "__mcount_loc" // where functions call __fentry__
	replacements    = ".altinstr_replacement"
	slowPaths       = ".altinstr_aux" // of static_cpu_has
	fixups          = ".fixup"        // where code goes on after a fault, before Linux 5.17
	debugMessages   = "__dyndbg"      // of pr_debug, one descriptor each
)

// kernelNotes are sections that say something about the object, or that only tools read:
// nothing in them is part of a patch.
func kernelNotes(name string) bool {
	for _, prefix := range []string{".discard", ".modinfo", "___ksymtab", "__ksymtab", ".export_symbol", ".BTF", ".ctors"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// special finds the kind of a section.
func special(name string) *specialSection {
	for i, s := range specialSections {
		if s.name == name || s.companion == name && name != "" {
			return &specialSections[i]
		}
	}
	return nil
}

func (k *Kernel) size(s *specialSection, structure string) (int, error) {
	if structure == "" {
		return s.size, nil
	}
	size := k.Sizes[structure]
	if size <= 0 || size > 256 {
		return 0, fmt.Errorf("section %q: the size of struct %s is not known", s.name, structure)
	}
	return size, nil
}

// attachSpecial cuts the special sections into entries and gives each to the function
// that it is about.
func (u *unit) attachSpecial() error {
	for _, whole := range u.special {
		kind := special(whole.section.Name)
		if kind.name != whole.section.Name {
			continue // a companion
		}
		entries, err := u.entries(kind, whole)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if len(e.relocs) == 0 || e.relocs[0].Offset != 0 {
				return fmt.Errorf("section %q: the entry at %#x is about no place", kind.name, e.start)
			}
			to, inside := u.refersTo(e, e.relocs[0])
			if !inside {
				return fmt.Errorf("section %q: the entry at %#x is about %q, which is not in this object", kind.name, e.start, e.relocs[0].Symbol.Name)
			}
			to.node.special = append(to.node.special, e)
		}
	}
	return nil
}

// entries cuts a special section. Of those whose entries are aligned the last may lack its
// padding.
func (u *unit) entries(kind *specialSection, whole *node) ([]*node, error) {
	size, err := u.kernel.size(kind, kind.structure)
	if err != nil {
		return nil, err
	}
	if missing := (size - len(whole.data)%size) % size; missing > 0 {
		if missing >= 8 {
			return nil, fmt.Errorf("section %q: %d bytes are no entries of %d bytes", kind.name, len(whole.data), size)
		}
		whole.data = append(slices.Clip(whole.data), make([]byte, missing)...)
	}
	entries := whole.slices(size)
	if kind.companion == "" {
		return entries, nil
	}
	if size, err = u.kernel.size(kind, kind.companionStructure); err != nil {
		return nil, err
	}
	for _, other := range u.special {
		if other.section.Name != kind.companion {
			continue
		}
		if len(other.data) != size*len(entries) {
			return nil, fmt.Errorf("section %q: %d bytes are not %d entries of %d bytes", kind.companion, len(other.data), len(entries), size)
		}
		for i, c := range other.slices(size) {
			entries[i].companion = c
		}
		return entries, nil
	}
	return nil, fmt.Errorf("section %q is without %q", kind.name, kind.companion)
}

// slices cuts a node into nodes of size bytes.
func (n *node) slices(size int) []*node {
	list := make([]*node, len(n.data)/size)
	for i := range list {
		section := *n.section
		section.Size = uint64(size)
		start := uint64(i * size)
		list[i] = &node{section: &section, kind: kindSpecial, name: n.section.Name, start: start, data: n.data[start : start+uint64(size)]}
	}
	for _, r := range n.relocs { // by offset
		if i := r.Offset / uint64(size); i < uint64(len(list)) {
			r.Offset -= list[i].start
			list[i].relocs = append(list[i].relocs, r)
		}
	}
	return list
}

// sameSpecial compares the entries about two functions.
func (p *pair) sameSpecial(a, b *node) (bool, error) {
	left, right := a.compared(), b.compared()
	if len(left) != len(right) {
		return false, nil
	}
	for i := range left {
		if left[i].name != right[i].name {
			return false, nil
		}
		same, err := p.sameContents(left[i], right[i])
		if !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

// compared are the entries about a function by which it can differ.
func (n *node) compared() (list []*node) {
	for _, e := range n.special {
		if !special(e.name).derived {
			list = append(list, e)
		}
	}
	return list
}

// traceable reports whether the function begins with the call that the kernel's function
// tracer, and so live patching, redirects it by.
func (n *node) traceable() bool {
	return slices.ContainsFunc(n.special, func(e *node) bool { return e.name == mcountLoc })
}

// splitBySymbols cuts sections with several variables, which the source names, into one
// node for each: the compiler does that only where it chooses the section.
func (u *unit) splitBySymbols() {
	starts := map[*node][]uint64{}
	for _, n := range u.nodes {
		if n.isFunction() || n.primary == nil || n.kind == kindPool {
			continue
		}
		var cuts []uint64
		for _, s := range n.symbols {
			if s.Type == elf.STT_OBJECT {
				cuts = append(cuts, s.Value)
			}
		}
		if cuts = slices.Compact(cuts); len(cuts) > 1 && cuts[0] == 0 && cuts[len(cuts)-1] < n.section.Size {
			starts[n] = cuts
		}
	}
	for _, from := range slices.Concat(u.nodes, u.special) {
		for _, r := range from.relocs {
			to := u.bySection[r.Symbol.Section]
			if r.Symbol.Section == nil || to == nil || starts[to] == nil {
				continue
			}
			if offset, ok := u.exactOffset(from, r); !ok || offset >= to.section.Size {
				delete(starts, to)
			}
		}
	}
	var nodes []*node
	for _, n := range u.nodes {
		if starts[n] == nil {
			nodes = append(nodes, n)
			continue
		}
		pieces := n.cut(starts[n])
		for _, piece := range pieces {
			piece.name = n.name
			for _, s := range n.symbols {
				if s.Value >= piece.start && s.Value < piece.start+piece.section.Size {
					moved := *s
					moved.Value -= piece.start
					piece.symbols = append(piece.symbols, &moved)
				}
			}
			piece.kernel = n.kernel
			piece.withoutPadding()
			piece.classify()
		}
		u.pieces[n.section] = pieces
		nodes = append(nodes, pieces...)
	}
	u.nodes = nodes
}

// withoutPadding lets a piece end where its variable does.
func (n *node) withoutPadding() {
	var end uint64
	for _, s := range n.symbols {
		end = max(end, s.Value+s.Size)
	}
	if end == 0 || end >= n.section.Size || n.data != nil && !isZero(n.data[end:]) {
		return
	}
	n.section.Size = end
	if n.data != nil {
		n.data = n.data[:end]
	}
}

// alwaysNew recognises the static variables that macros of the kernel make for one place
// of the code: a second one beside the old one does no harm. They are a warning's memory
// that it was given, a lock's class, a rate limit's count, a message's descriptor.
func alwaysNew(name string) bool {
	switch baseName(name) {
	case "__key", "__warned", "__already_done", "_rs", "_entry", "_entry_ptr", "___once_key", "__print_once", "descriptor":
		return true
	}
	return strings.HasPrefix(name, "__UNIQUE_ID_ddebug")
}

// bootTables says what reads a section that the kernel, or the loader of a module, is done
// with after the start; "" if it is not such.
func bootTables(name string) string {
	for prefix, what := range map[string]string{
		".init": "is for the start, and its memory is given away afterwards", "__param": "lists parameters, which are read at the start",
		".con_initcall": "lists functions that run at the start", "_ftrace_events": "lists events for tracing, which are read at the start",
		"__syscalls_metadata": "lists system calls, which is read at the start", "__tracepoints": "lists places for tracing, which is read at the start",
		"__bpf_raw_tp_map": "lists places for tracing, which is read at the start", "__dyndbg_classes": "is read at the start",
		"_kprobe_blacklist": "lists functions that must not be probed, which is read at the start", ".exit": "is for the end, and dropped in a kernel",
		".static_call_tramp_key": "is read at the start", "_error_injection_whitelist": "is read at the start",
	} {
		if strings.HasPrefix(name, prefix) {
			return what
		}
	}
	return ""
}

// keyOf gives what the entry of a jump table or of a static call depends on: the key, and
// where in the entry that is.
func keyOf(e *node) (object.Reloc, bool) {
	last := map[string]int{jumpTable: 3, staticCallSites: 2}[e.name]
	if last == 0 || len(e.relocs) != last {
		return object.Reloc{}, false
	}
	return e.relocs[last-1], true
}
