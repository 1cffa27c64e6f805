package diff

import (
	"debug/dwarf"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/openeuler/syscare/engine/object"
)

// layouts describes the types of one unit by what objects of them look like in
// memory, each type by a key such as "struct client".
type layouts map[string]*layout

type layout struct {
	size    int64
	enum    bool
	members []string // "offset name type", or "name = value" of an enumeration
}

// guardLayouts refuses a fix that changes the size, the offsets or the types of
// the members of a type that both units have: objects of the old shape are
// alive in the process. Types in allow are accepted; the notes say so. It gives
// all refusals, by the names of the types.
func (p *pair) guardLayouts(allow []string) (notes []string, refusals []error) {
	before, err := readLayouts(p.original.file)
	if err != nil {
		return nil, []error{p.refuse("", "the debug information of the original object cannot be read, so changed types would go unnoticed: %v", err)}
	}
	after, err := readLayouts(p.patched.file)
	if err != nil {
		return nil, []error{p.refuse("", "the debug information of the patched object cannot be read, so changed types would go unnoticed: %v", err)}
	}
	var names []string
	for name := range before {
		if after[name] != nil {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	p.types = len(names)
	for _, name := range names {
		difference := before[name].differs(after[name])
		if difference == "" {
			continue
		}
		_, bare, _ := strings.Cut(name, " ")
		bare, _, _ = strings.Cut(bare, " (")
		if slices.Contains(allow, name) || slices.Contains(allow, bare) {
			notes = append(notes, fmt.Sprintf("%s: the layout of %s changed (%s), accepted by --allow-layout", p.source, name, difference))
			continue
		}
		refusals = append(refusals, p.refuse("", "the layout of %s changed: %s; objects of the old layout are alive in running processes", name, difference))
	}
	return notes, refusals
}

// differs tells the first difference, "" if there is none.
func (a *layout) differs(b *layout) string {
	if a.enum && b.enum {
		return a.renumbered(b)
	}
	for i := range max(len(a.members), len(b.members)) {
		switch {
		case i >= len(a.members):
			return fmt.Sprintf("new member %q", b.members[i])
		case i >= len(b.members):
			return fmt.Sprintf("member %q is gone", a.members[i])
		case a.members[i] != b.members[i]:
			return fmt.Sprintf("member %q became %q", a.members[i], b.members[i])
		}
	}
	if a.size != b.size {
		return fmt.Sprintf("size %d became %d", a.size, b.size)
	}
	return ""
}

// renumbered tells the first value of an enumeration that has another meaning.
// A new value has none yet in any object that is alive, and functions that do
// not know it are the same in the rebuilt program.
func (a *layout) renumbered(b *layout) string {
	for _, m := range a.members {
		if !slices.Contains(b.members, m) {
			return fmt.Sprintf("%q is no longer there", m)
		}
	}
	if a.size != b.size {
		return fmt.Sprintf("size %d became %d", a.size, b.size)
	}
	return ""
}

// readLayouts reads the structs, unions, classes and enumerations that f
// defines, also those named by a typedef only.
func readLayouts(f *object.File) (result layouts, err error) {
	defer malformed(&err)
	data, err := f.DWARF()
	if err != nil {
		return nil, err
	}
	if err := checkTypes(f); err != nil {
		return nil, err
	}
	reader := layoutReader{data: data, layouts: layouts{}}
	r, err := f.Entries()
	if err != nil {
		return nil, err
	}
	units := 0
	for {
		entry, err := r.Next()
		if err != nil {
			return nil, err
		}
		if entry == nil {
			break
		}
		if entry.Tag == dwarf.TagCompileUnit {
			units++
		}
		if err := reader.entry(entry); err != nil {
			return nil, err
		}
	}
	if units == 0 {
		return nil, errors.New("there is none: compile with -g")
	}
	return reader.layouts, nil
}

// scope is an entry whose children are being read.
type scope struct {
	name   string
	layout *layout // of a type
}

type layoutReader struct {
	data    *dwarf.Data
	layouts layouts
	scopes  []scope
}

// entry takes in one entry of the debug information, in its order.
func (l *layoutReader) entry(entry *dwarf.Entry) error {
	var inside *layout
	if len(l.scopes) > 0 {
		inside = l.scopes[len(l.scopes)-1].layout
	}
	made := (*layout)(nil)
	switch entry.Tag {
	case 0:
		l.scopes = l.scopes[:max(len(l.scopes)-1, 0)]
		return nil
	case dwarf.TagStructType, dwarf.TagClassType, dwarf.TagUnionType, dwarf.TagEnumerationType, dwarf.TagTypedef:
		typ, err := l.data.Type(entry.Offset)
		if err != nil {
			return err
		}
		made = l.add(typ)
	case dwarf.TagInheritance:
		if inside != nil {
			inside.members = append(inside.members, l.base(entry))
		}
	case dwarf.TagSubprogram:
		if inside != nil && entry.AttrField(dwarf.AttrVtableElemLoc) != nil {
			name, ok := entry.Val(dwarf.AttrLinkageName).(string)
			if !ok {
				name, _ = entry.Val(dwarf.AttrName).(string)
			}
			place, _ := entry.Val(dwarf.AttrVtableElemLoc).([]byte)
			inside.members = append(inside.members, fmt.Sprintf("virtual function %s at %x", name, place))
		}
	}
	if entry.Children {
		name, _ := entry.Val(dwarf.AttrName).(string)
		if entry.Tag == dwarf.TagCompileUnit {
			name = ""
		}
		l.scopes = append(l.scopes, scope{name, made})
	}
	return nil
}

// base describes a base class.
func (l *layoutReader) base(entry *dwarf.Entry) string {
	name := "?"
	if offset, ok := entry.Val(dwarf.AttrType).(dwarf.Offset); ok {
		if typ, err := l.data.Type(offset); err == nil {
			name = describeType(typ)
		}
	}
	// The place of a virtual base is an expression.
	return fmt.Sprintf("base %s at %v", name, entry.Val(dwarf.AttrDataMemberLoc))
}

// add notes a type under its name with those of the scopes around it; of
// several with one name, as in blocks of one function, by their order.
func (l *layoutReader) add(typ dwarf.Type) *layout {
	name := ""
	if t, ok := typ.(*dwarf.TypedefType); ok {
		name, typ = "typedef "+t.Name, t.Type
	}
	made := &layout{}
	switch t := typ.(type) {
	case *dwarf.StructType:
		if t.Incomplete || name == "" && t.StructName == "" || name != "" && t.StructName != "" {
			return nil // a named struct stands for itself, not for its typedefs
		}
		if name == "" {
			name = t.Kind + " " + l.qualified(t.StructName)
		}
		made.size, made.members = t.ByteSize, describeMembers(t, 0)
	case *dwarf.EnumType:
		if name == "" && t.EnumName == "" || name != "" && t.EnumName != "" {
			return nil
		}
		if name == "" {
			name = "enum " + l.qualified(t.EnumName)
		}
		made.size, made.enum = t.ByteSize, true
		for _, v := range t.Val {
			made.members = append(made.members, fmt.Sprintf("%s = %d", v.Name, v.Val))
		}
	default:
		return nil
	}
	key := name
	for n := 2; l.layouts[key] != nil; n++ {
		key = fmt.Sprintf("%s (%d)", name, n)
	}
	l.layouts[key] = made
	return made
}

func (l *layoutReader) qualified(name string) string {
	var names []string
	for _, s := range l.scopes {
		if s.name != "" {
			names = append(names, s.name)
		}
	}
	return strings.Join(append(names, name), "::")
}

// describeMembers lists the members of t, those of members without a tag name
// in place.
func describeMembers(t *dwarf.StructType, base int64) (members []string) {
	for _, f := range t.Field {
		at := fmt.Sprintf("%d", base+f.ByteOffset)
		if f.BitSize > 0 {
			at = fmt.Sprintf("%d.%d:%d", base, f.ByteOffset*8+f.DataBitOffset+f.BitOffset, f.BitSize)
		}
		members = append(members, fmt.Sprintf("%s %s %s", at, f.Name, describeType(f.Type)))
		if inner, ok := f.Type.(*dwarf.StructType); ok && inner.StructName == "" {
			members = append(members, describeMembers(inner, base+f.ByteOffset)...)
		}
	}
	return members
}

// Bounds of a spelled type, far above what programs have: malformed debug information
// could make it endless, or of exponential length.
const (
	maxTypeDepth = 500
	maxTypeText  = 1 << 20 // bytes
)

// describeType spells a type such that equal spelling means equal use of
// memory, given that named types are compared by themselves. Qualifiers do not
// change the use of memory. A type that is made of itself makes it panic.
func describeType(typ dwarf.Type) string { return speller(0).spell(typ) }

// speller is how deep in a type one is.
type speller int

func (s speller) spell(typ dwarf.Type) string {
	if s > maxTypeDepth {
		panic(errTypeCycle)
	}
	text := (s + 1).bounded(typ)
	if len(text) > maxTypeText {
		panic(errTypeCycle)
	}
	return text
}

func (s speller) bounded(typ dwarf.Type) string {
	switch t := typ.(type) {
	case nil:
		return "void"
	case *dwarf.QualType:
		return s.spell(t.Type)
	case *dwarf.TypedefType:
		if t.Type == nil {
			return t.Name
		}
		if of, ok := t.Type.(*dwarf.StructType); ok && of.StructName == "" {
			return "typedef " + t.Name
		}
		if of, ok := t.Type.(*dwarf.EnumType); ok && of.EnumName == "" {
			return "typedef " + t.Name
		}
		return s.spell(t.Type)
	case *dwarf.PtrType:
		return "*" + s.pointee(t.Type)
	case *dwarf.ArrayType:
		return fmt.Sprintf("[%d]%s", t.Count, s.spell(t.Type))
	case *dwarf.StructType:
		if t.StructName == "" {
			return fmt.Sprintf("%s of %d bytes", t.Kind, t.ByteSize)
		}
		return t.Kind + " " + t.StructName
	case *dwarf.EnumType:
		return fmt.Sprintf("enum %s of %d bytes", t.EnumName, t.ByteSize)
	case *dwarf.FuncType:
		return s.pointee(t)
	}
	if typ.Size() > 0 {
		return fmt.Sprintf("%s of %d bytes", typ.Common().Name, typ.Size())
	}
	return typ.String()
}

// pointee names what a pointer points to. For functions that is their signature:
// tables of function pointers are called through it.
func (s speller) pointee(typ dwarf.Type) string {
	switch t := typ.(type) {
	case *dwarf.FuncType:
		var parameters []string
		for _, p := range t.ParamType {
			parameters = append(parameters, s.spell(p))
		}
		return fmt.Sprintf("func(%s) %s", strings.Join(parameters, ", "), s.spell(t.ReturnType))
	case *dwarf.PtrType:
		return "*" + s.spell(t.Type)
	}
	return s.spell(typ)
}
