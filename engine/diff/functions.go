package diff

import (
	"debug/dwarf"
	"slices"

	"github.com/openeuler/syscare/engine/object"
)

// sourceFunction is a function as the debug information of an object shows it:
// where it stands in the source, and what was inlined into it.
type sourceFunction struct {
	name    string // in the symbol table, without what compilers number
	file    string // "" if unknown
	line    int
	last    int // the last line that can belong to it; 0 if it goes to the end of the file
	inlines []*sourceFunction
}

// readFunctions gives the functions of an object by their names.
func readFunctions(f *object.File) (functions map[string]*sourceFunction, err error) {
	defer malformed(&err)
	data, err := f.DWARF()
	if err != nil {
		return nil, err
	}
	fr := &functionReader{data: data, byOffset: map[dwarf.Offset]*describedFunction{}}
	r, err := f.Entries()
	if err != nil {
		return nil, err
	}
	for {
		entry, err := r.Next()
		if err != nil {
			return nil, err
		}
		if entry == nil {
			break
		}
		if err := fr.entry(entry); err != nil {
			return nil, err
		}
	}
	return fr.functions(), nil
}

// describedFunction is one entry for a function; several make up a function: its
// declaration, what is common to all instances, and each instance.
type describedFunction struct {
	name, file string
	line       int
	origin     dwarf.Offset // of the entry that says what this one leaves out
	defined    bool         // there is code of it, be it inlined
	inlined    []dwarf.Offset
}

type functionReader struct {
	data     *dwarf.Data
	byOffset map[dwarf.Offset]*describedFunction
	order    []*describedFunction
	files    []*dwarf.LineFile
	inside   []*describedFunction // of the entries around, nil where one is no function
}

func (fr *functionReader) entry(entry *dwarf.Entry) error {
	var d *describedFunction
	switch entry.Tag {
	case 0:
		fr.inside = fr.inside[:max(len(fr.inside)-1, 0)]
		return nil
	case dwarf.TagCompileUnit:
		fr.files, fr.inside = nil, nil
		lines, err := fr.data.LineReader(entry)
		if err != nil {
			return err
		}
		if lines != nil {
			fr.files = lines.Files()
		}
	case dwarf.TagSubprogram:
		d = fr.describe(entry)
	case dwarf.TagInlinedSubroutine:
		if origin, ok := entry.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset); ok {
			if around := fr.around(); around != nil {
				around.inlined = append(around.inlined, origin)
			}
		}
	}
	if entry.Children {
		fr.inside = append(fr.inside, d)
	}
	return nil
}

// around is the function that the entry being read is in.
func (fr *functionReader) around() *describedFunction {
	for _, d := range slices.Backward(fr.inside) {
		if d != nil {
			return d
		}
	}
	return nil
}

func (fr *functionReader) describe(entry *dwarf.Entry) *describedFunction {
	d := &describedFunction{defined: entry.AttrField(dwarf.AttrDeclaration) == nil}
	d.name, _ = entry.Val(dwarf.AttrLinkageName).(string)
	if d.name == "" {
		d.name, _ = entry.Val(dwarf.AttrName).(string)
	}
	if file, ok := entry.Val(dwarf.AttrDeclFile).(int64); ok && file >= 0 && file < int64(len(fr.files)) && fr.files[file] != nil {
		d.file = fr.files[file].Name
	}
	if line, ok := entry.Val(dwarf.AttrDeclLine).(int64); ok {
		d.line = int(line)
	}
	for _, attr := range []dwarf.Attr{dwarf.AttrAbstractOrigin, dwarf.AttrSpecification} {
		if origin, ok := entry.Val(attr).(dwarf.Offset); ok {
			d.origin = origin
		}
	}
	fr.byOffset[entry.Offset] = d
	fr.order = append(fr.order, d)
	return d
}

// functions puts the entries together.
func (fr *functionReader) functions() map[string]*sourceFunction {
	found := map[string]*sourceFunction{}
	whole := map[*describedFunction]*sourceFunction{}
	for _, d := range fr.order {
		name, file, line := fr.complete(d)
		if name == "" || !d.defined {
			continue
		}
		f := found[name]
		if f == nil {
			f = &sourceFunction{name: name, file: file, line: line}
			found[name] = f
		}
		whole[d] = f
	}
	for _, d := range fr.order {
		f := whole[d]
		if f == nil {
			continue
		}
		for _, offset := range d.inlined {
			in := whole[fr.byOffset[offset]]
			if in != nil && in != f && !slices.Contains(f.inlines, in) {
				f.inlines = append(f.inlines, in)
			}
		}
	}
	endFunctions(found)
	return found
}

// complete follows an entry to those that say what it leaves out.
func (fr *functionReader) complete(d *describedFunction) (name, file string, line int) {
	for range 4 { // an instance, what is common, the declaration; a loop is malformed
		if name == "" {
			name = d.name
		}
		if line == 0 || file == "" {
			file, line = d.file, d.line
		}
		if d = fr.byOffset[d.origin]; d == nil {
			break
		}
	}
	return name, file, line
}

// endFunctions lets each function end before the next one of its file.
func endFunctions(functions map[string]*sourceFunction) {
	byFile := map[string][]*sourceFunction{}
	for _, f := range functions {
		byFile[f.file] = append(byFile[f.file], f)
	}
	for _, list := range byFile {
		slices.SortFunc(list, func(a, b *sourceFunction) int { return a.line - b.line })
		for i, f := range list[:len(list)-1] {
			f.last = max(list[i+1].line-1, f.line)
		}
	}
}
