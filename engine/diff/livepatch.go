package diff

import (
	"debug/elf"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
)

// KernelUnit is one translation unit of the kernel or of one of its modules.
type KernelUnit struct {
	Unit
	Module string // "" for the kernel itself
}

// KernelTarget is what a livepatch is made for.
type KernelTarget struct {
	Kernel
	Vmlinux *object.File
	// Modules are those that units belong to, and those that they depend on, by name.
	Modules map[string]*object.File
}

// Livepatch is what goes into a livepatch module, beside its C source.
type Livepatch struct {
	// Object is relocatable. What is not exported is referred to by undefined symbols
	// that ParseReference takes apart.
	Object   []byte
	Patched  []PatchedObject // the kernel first, then modules by name
	Exports  []string        // of the kernel that the object uses
	Contents []Content
	Checks   []string // what was found to be in order, for people
	Notes    []string // what was accepted on the user's word, or left out
}

// PatchedObject is the kernel or a module, and what is replaced there.
type PatchedObject struct {
	Module    string // "" for the kernel itself
	Redirects []Redirect
	// Hooks are the symbols of the functions that run around a change.
	Hooks map[patchobject.HookKind]string
	// Places is how many there are in the list that begins with PlacesPrefix, of what has
	// to be cleared when the module goes.
	Places int
}

// Redirect is one replaced function.
type Redirect struct {
	Name     string // in the kernel
	Position int    // among symbols of that name, from 1; 0 if there is one
	Symbol   string // of the new code in Object
}

// Functions are the names of all that is replaced: with the position if there are several of
// the name, "name,2", and as kallsyms names them with their module, "name [module]".
func (l *Livepatch) Functions() (names []string) {
	for _, p := range l.Patched {
		for _, r := range p.Redirects {
			name := r.Name
			if r.Position > 0 {
				name += fmt.Sprintf(",%d", r.Position)
			}
			if p.Module != "" {
				name += " [" + p.Module + "]"
			}
			names = append(names, name)
		}
	}
	return names
}

// vmlinux is the name of the kernel itself among the objects of livepatches.
const vmlinux = "vmlinux"

// referencePrefix begins the names of symbols for what is not exported.
const referencePrefix = ".syscare.reference."

// referenceName is the name of the undefined symbol for the symbol of that name in an
// object, the kernel ("vmlinux") or a module. The place is filled in when the object
// reached is there: early, with the kernel, or the module that the code belongs to.
func referenceName(reached, object, name string, position int) string {
	return fmt.Sprintf("%s%s.%s.%s,%d", referencePrefix, reached, object, name, position)
}

// ParseReference takes apart the name of a symbol of Livepatch.Object for what is not
// exported: the object whose presence decides when it is filled in, and the name that the
// kernel's livepatch core knows it by, without its prefix.
func ParseReference(symbol string) (reached, rest string, ok bool) {
	text, ok := strings.CutPrefix(symbol, referencePrefix)
	if !ok {
		return "", "", false
	}
	return strings.Cut(text, ".")
}

// livepatch is what the emitter knows beside the units when it makes a Livepatch.
type livepatch struct {
	kernel  *target
	modules map[string]*target
	exports map[string]Export // of the kernel
	ibt     bool              // see Kernel
	sympos  map[*target]map[string][]*object.Symbol
	patched map[string]*PatchedObject
	late    map[string][]latePlace  // by module
	hooked  map[string]*emittedUnit // one with a hook, by module
	notes   []string
}

// BuildLivepatch compares units of a kernel and of its modules. It returns ErrNoChange when
// nothing functional changed and a *Refusal when the change cannot be patched.
func BuildLivepatch(k KernelTarget, units []KernelUnit, opt Options) (*Livepatch, error) {
	live, err := newLivepatch(k)
	if err != nil {
		return nil, err
	}
	e := newEmitter(k.Vmlinux.Machine, opt.KeepGoing)
	e.live = live
	result := &Livepatch{}
	c := comparison{emitter: e, options: opt}
	for i, u := range units {
		t := live.kernel
		if u.Module != "" {
			if t = live.modules[u.Module]; t == nil {
				return nil, fmt.Errorf("%s: no file of module %s", u.Source, u.Module)
			}
		}
		if err := c.unit(i, u.Unit, t); err != nil {
			return nil, err
		}
		for _, name := range newExports(u.Original, u.Patched) {
			c.notes = append(c.notes, fmt.Sprintf("%s: the fix exports %s to modules: what is in the patch uses it all the same, and others have to wait for the next start", u.Source, name))
		}
	}
	if len(c.refused) > 0 {
		return nil, errors.Join(c.refused...)
	}
	if len(e.units) == 0 {
		return nil, ErrNoChange
	}
	if _, err := e.emit(); err != nil {
		return nil, err
	}
	if err := live.emitPlaces(e); err != nil {
		return nil, err
	}
	if result.Patched, err = live.objects(); err != nil {
		return nil, err
	}
	if len(result.Patched) == 0 {
		return nil, ErrNoChange
	}
	result.Contents = c.contents
	orderContents(result.Contents)
	for name := range e.outside {
		if _, _, ok := ParseReference(name); !ok {
			result.Exports = append(result.Exports, name)
		}
	}
	slices.Sort(result.Exports)
	result.Notes = append(c.notes, live.notes...)
	result.Checks = c.counts.compared(len(units))
	if c.byCode > 0 {
		result.Checks = append(result.Checks, fmt.Sprintf("all functions of %d files, compiled here as they were then, are those that were shipped, byte for byte outside of what the linker fills in", c.byCode))
	}
	result.Object, err = e.out.Bytes()
	return result, err
}

func newLivepatch(k KernelTarget) (*livepatch, error) {
	live := &livepatch{ibt: k.IBT, modules: map[string]*target{}, sympos: map[*target]map[string][]*object.Symbol{}, patched: map[string]*PatchedObject{}, late: map[string][]latePlace{}, hooked: map[string]*emittedUnit{}}
	var err error
	if live.kernel, err = newTarget(k.Vmlinux, &k.Kernel); err != nil {
		return nil, fmt.Errorf("vmlinux: %w", err)
	}
	if live.exports, err = ReadExports(k.Vmlinux); err != nil {
		return nil, fmt.Errorf("vmlinux: %w", err)
	}
	for name, f := range k.Modules {
		if live.modules[name], err = newTarget(f, &k.Kernel); err != nil {
			return nil, fmt.Errorf("module %s: %w", name, err)
		}
		live.modules[name].module = name
	}
	return live, nil
}

func (t *target) objectName() string {
	if t.module != "" {
		return t.module
	}
	return vmlinux
}

// reference gives the symbol by which the module refers to one of the kernel or of another
// module. The old code of what is replaced is referred to by its place: its name is that
// of the new code.
func (l *livepatch) reference(e *emitter, u *emittedUnit, t *target, s *object.Symbol, old bool) (*object.BuildSymbol, error) {
	_, exported := l.exports[s.Name]
	if t == l.kernel && s.Bind != elf.STB_LOCAL && exported && !old && !e.names[s.Name] {
		return e.undefined(s.Name, elf.STB_GLOBAL), nil
	}
	position, err := l.position(u, t, s)
	if err != nil {
		return nil, err
	}
	reached := t.objectName()
	if t != l.kernel {
		reached = u.target.objectName() // which depends on the other module
	}
	return e.undefined(referenceName(reached, t.objectName(), s.Name, position), elf.STB_WEAK), nil
}

// undefined adds an undefined symbol, once.
func (e *emitter) undefined(name string, bind elf.SymBind) *object.BuildSymbol {
	if e.outside[name] == nil {
		e.outside[name] = e.out.AddSymbol(&object.BuildSymbol{Name: name, Bind: bind})
	}
	return e.outside[name]
}

// position is where a symbol comes among those of its name, from 1; 0 if it is the only
// one. The kernel's livepatch core counts all, local and global: those of the kernel by
// address, as scripts/kallsyms sorts them, those of a module in the order of its symbol
// table. See klp_find_object_symbol in kernel/livepatch/core.c.
func (l *livepatch) position(u *emittedUnit, t *target, s *object.Symbol) (int, error) {
	if len(s.Name) > 500 || strings.Contains(s.Name, ",") {
		return 0, u.refuse(s.Name, "livepatch modules cannot refer to symbols of such names")
	}
	if s.Section == nil {
		return 0, u.refuse(s.Name, "it is a number that the linker computed (an absolute symbol), which the running kernel does not list")
	}
	if l.sympos[t] == nil {
		l.sympos[t] = named(t.file)
	}
	all := l.sympos[t][s.Name]
	if len(all) < 2 {
		return 0, nil
	}
	if t == l.kernel {
		all = slices.Clone(all)
		slices.SortStableFunc(all, func(a, b *object.Symbol) int {
			if a.Value < b.Value {
				return -1
			}
			if a.Value > b.Value {
				return 1
			}
			return 0
		})
	}
	return slices.Index(all, s) + 1, nil
}

// named lists the symbols that kallsyms has, by name.
func named(f *object.File) map[string][]*object.Symbol {
	list := map[string][]*object.Symbol{}
	for _, s := range f.Symbols {
		if s.Section != nil && s.Name != "" && s.Type != elf.STT_SECTION && s.Type != elf.STT_FILE {
			list[s.Name] = append(list[s.Name], s)
		}
	}
	return list
}

// outside refers to what the unit's own object does not have: of a module, what the kernel
// or another module exports.
func (l *livepatch) outside(e *emitter, u *emittedUnit, n *node, s *object.Symbol) (*object.BuildSymbol, error) {
	if u.target == l.kernel {
		return nil, u.refuse(n.name, "it refers to %q, which the kernel does not have", s.Name)
	}
	t, found := l.provider(u.target, s)
	if found != nil {
		if _, exported := l.exports[s.Name]; t == l.kernel && !exported {
			return nil, u.refuse(n.name, "it refers to %q, which the kernel does not export to modules", s.Name)
		}
		return l.reference(e, u, t, found, false)
	}
	return nil, u.refuse(n.name, "it refers to %q, which neither the kernel exports nor a module that %s depends on", s.Name, u.target.module)
}

// provider finds what of the kernel or of the other modules defines a symbol for a module.
func (l *livepatch) provider(module *target, s *object.Symbol) (*target, *object.Symbol) {
	if found := l.kernel.global(s); found != nil {
		return l.kernel, found
	}
	for _, name := range slices.Sorted(maps.Keys(l.modules)) {
		if t := l.modules[name]; t != module && t.global(s) != nil {
			return t, t.global(s)
		}
	}
	return nil, nil
}

// redirect notes that n takes the place of a function, and adds the entries about it.
func (l *livepatch) redirect(e *emitter, u *emittedUnit, n *node) error {
	if n.isFunction() && n.twin != nil && n.parent == nil && n.twin.traceable() {
		s, err := e.lookUp(u, n.twin.primary)
		if err != nil {
			return err
		}
		position, err := l.position(u, u.target, s)
		if err != nil {
			return err
		}
		o := l.object(u.target.module)
		o.Redirects = append(o.Redirects, Redirect{Name: s.Name, Position: position, Symbol: n.newName})
	}
	return l.emitSpecial(e, u, n)
}

func (l *livepatch) object(module string) *PatchedObject {
	if l.patched[module] == nil {
		l.patched[module] = &PatchedObject{Module: module, Hooks: map[patchobject.HookKind]string{}}
	}
	return l.patched[module]
}

// objects lists what is patched. The kernel calls the hooks of an object around a change of
// its functions: without one they would never run.
func (l *livepatch) objects() (list []PatchedObject, err error) {
	for _, o := range l.patched {
		if len(o.Redirects) > 0 {
			list = append(list, *o)
			continue
		}
		for kind, symbol := range o.Hooks {
			return nil, l.hooked[o.Module].refuse(symbol, "a hook (%s) where no function is replaced: the kernel would never call it", kind)
		}
	}
	slices.SortFunc(list, func(a, b PatchedObject) int { return strings.Compare(a.Module, b.Module) })
	return list, nil
}

// hook notes the function that a hook's entry names.
func (l *livepatch) hook(u *emittedUnit, n *node) error {
	kind := patchobject.HookKind(strings.TrimPrefix(n.section.Name, patchobject.HookPrefix))
	switch kind {
	case patchobject.PreApply, patchobject.PostApply, patchobject.PreRemove, patchobject.PostRemove:
	default:
		return u.refuse(n.name, "there are no hooks of the kind %q", kind)
	}
	o := l.object(u.target.module)
	for _, r := range n.relocs {
		to, inside := u.patched.refersTo(n, r)
		if !inside || !to.node.isFunction() || u.sections[to.node] == nil || to.node.newName == "" {
			return u.refuse(n.name, "the hook is no function of this source file")
		}
		if o.Hooks[kind] != "" {
			return u.refuse(to.node.name, "a second hook of the kind %q: the kernel calls one for each object that is patched", kind)
		}
		o.Hooks[kind] = to.node.newName
		l.hooked[u.target.module] = u
	}
	return nil
}
