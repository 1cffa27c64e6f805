package diff

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
)

// Unit is one translation unit before and after the fix.
type Unit struct {
	Source   string       // path of the source file, for people
	Original *object.File // compiled with one section per function and datum; nil for a new unit
	Patched  *object.File // likewise, with the fix
	// Recorded is the object that the target was linked from, with the flags
	// of its own build. Where it is nil and the target holds no code, the code
	// expected in processes is taken from Original.
	Recorded *object.File
}

// Options says what the patch object is called and what the user accepts.
type Options struct {
	UUID       string // of the entity, canonical form
	Entity     string
	TargetName string
	TargetPath string
	Tool       string // version of SysCare
	Accept     Accept
	// KeepGoing finds all that is refused, instead of the first of it.
	KeepGoing bool
	// Touched tells which lines the fix changes; nil if nobody knows.
	Touched Touched
}

// Result is a patch object and what is in it.
type Result struct {
	Object    []byte
	Functions []string // replaced functions, in the order of the patch object
	Contents  []Content
	Checks    []string // what was found to be in order, for people
	Notes     []string // what was accepted on the user's word
}

// Build compares the units of one target ELF and writes its patch object. The
// target is the unstripped ELF or its debuginfo. It returns ErrNoChange when
// nothing functional changed and a *Refusal when the change cannot be patched.
func Build(targetFile *object.File, units []Unit, opt Options) (*Result, error) {
	t, err := newTarget(targetFile, nil)
	if err != nil {
		return nil, err
	}
	e := newEmitter(t.file.Machine, opt.KeepGoing)
	result := &Result{}
	c := comparison{emitter: e, options: opt}
	for i, u := range units {
		if err := c.unit(i, u, t); err != nil {
			return nil, err
		}
	}
	if len(c.refused) > 0 {
		return nil, errors.Join(c.refused...)
	}
	result.Notes, result.Contents = c.notes, c.contents
	funcs, err := e.emit()
	if err != nil {
		return nil, err
	}
	if len(funcs) == 0 {
		return nil, ErrNoChange
	}
	info := patchobject.Info{
		UUID: opt.UUID, Entity: opt.Entity, TargetID: targetFile.BuildID, TargetName: opt.TargetName,
		TargetPath: opt.TargetPath, Arch: e.arch.Name, Tool: opt.Tool,
	}
	orderContents(result.Contents)
	result.Checks = c.counts.checks(len(units))
	for _, f := range funcs {
		if f.Kind == patchobject.Replaced {
			result.Functions = append(result.Functions, f.Name)
		}
	}
	if result.Object, err = patchobject.Encode(e.out, info, funcs, e.bindList()); err != nil {
		return nil, err
	}
	return result, nil
}

// comparison is what comes of comparing units, one after the other.
type comparison struct {
	emitter  *emitter
	options  Options
	counts   counts
	contents []Content
	notes    []string
	refused  []error // with Options.KeepGoing
	byCode   int     // units in the patch whose functions have the shipped code, of a kernel
}

// unit compares the i-th unit, of the target t, and gives what changed to the emitter.
func (c *comparison) unit(i int, u Unit, t *target) error {
	p, err := loadPair(u, t)
	if err != nil {
		return err
	}
	if p.original.file.Machine != t.file.Machine {
		return p.refuse("", "the object is for %v, the target for %v", p.original.file.Machine, t.file.Machine)
	}
	nodes, notes, err := p.difference(c.options)
	gated := err == nil && len(nodes) > 0 && p.recorded != nil && t.kernel != nil
	if gated {
		err = p.shipped()
	}
	var refusal *Refusal
	if c.options.KeepGoing && errors.As(err, &refusal) {
		c.refused = append(c.refused, err)
		return nil
	}
	if err != nil {
		return err
	}
	c.notes = append(c.notes, notes...)
	c.counts.add(p)
	if p.bySize {
		c.notes = append(c.notes, fmt.Sprintf("%s: there is no code in the debuginfo: that the functions are those that were shipped was told by their sizes alone", u.Source))
	} else if gated {
		c.byCode++
	}
	if len(nodes) > 0 {
		c.emitter.add(p, nodes)
		c.contents = append(c.contents, p.explain(i, nodes, c.options.Touched)...)
	}
	return nil
}

func loadPair(u Unit, t *target) (*pair, error) {
	p := &pair{source: u.Source, target: t, equal: map[[2]*node]bool{}}
	if u.Patched == nil {
		return nil, fmt.Errorf("%s: no patched object", u.Source)
	}
	for _, part := range []struct {
		what string
		file *object.File
		into **unit
	}{{"original", u.Original, &p.original}, {"patched", u.Patched, &p.patched}, {"recorded", u.Recorded, &p.recorded}} {
		if part.file == nil && part.what != "patched" {
			continue
		}
		loaded, err := loadUnit(part.file, t.kernel)
		if err != nil {
			return nil, fmt.Errorf("%s: %s object: %w", u.Source, part.what, err)
		}
		*part.into = loaded
		if slices.ContainsFunc(part.file.Sections, func(s *object.Section) bool { return strings.HasPrefix(s.Name, ".gnu.lto_") }) {
			return nil, p.refuse("", "the %s object was compiled for link-time optimisation (-flto): its functions do not stay in the unit of their source", part.what)
		}
	}
	if p.original == nil {
		// Everything in it is new; whoever asks for types or the language
		// finds the same as in the patched object.
		p.original = &unit{file: p.patched.file, arch: p.patched.arch}
	}
	return p, nil
}

// difference runs the steps up to selection.
func (p *pair) difference(opt Options) (nodes []*node, notes []string, err error) {
	p.correlate()
	if err := p.compare(); err != nil {
		return nil, nil, err
	}
	if p.target.kernel != nil {
		p.replaceCallers()
	}
	copied, err := p.copyData(opt.Accept.Data)
	if err != nil {
		return nil, nil, err
	}
	refusals := p.guardData()
	if len(refusals) > 0 && !opt.KeepGoing {
		return nil, nil, refusals[0]
	}
	nodes, err = p.selected()
	if err == nil && len(nodes) == 0 {
		return nil, nil, errors.Join(refusals...)
	}
	if err == nil {
		err = p.checkUnit()
	}
	if err != nil {
		refusals = append(refusals, err)
	}
	if len(refusals) == 0 || opt.KeepGoing {
		var changed []error
		notes, changed = p.guardLayouts(opt.Accept.Layouts)
		refusals = append(refusals, changed...)
	}
	if len(refusals) > 0 && !opt.KeepGoing {
		return nil, nil, refusals[0]
	}
	return nodes, append(copied, notes...), errors.Join(refusals...)
}
