package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/object"
	"github.com/openeuler/syscare/engine/patchobject"
	"github.com/openeuler/syscare/state/metadata"
)

// Input is what a page shows.
type Input struct {
	Patch    *metadata.Patch
	Source   string // file name of the target's source package
	Fixes    []Fix
	Entities []build.Entity
	Checks   []string
	Notes    []string
	Tool     string // version of SysCare
}

// Fix is one patch file.
type Fix struct {
	Name string
	Text string
}

// Line is one line of a fix.
type Line struct {
	Class string // of the page's style: "add", "del", "hunk", "file" or ""
	Text  string
}

var hunkHeader = regexp.MustCompile(`^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@`)

// Lines are the lines of the fix, each with its class.
func (f Fix) Lines() (lines []Line) {
	before, after := 0, 0 // lines of the hunk that are still to come
	for text := range strings.Lines(f.Text) {
		text = strings.TrimRight(text, "\r\n")
		class := ""
		m := hunkHeader.FindStringSubmatch(text)
		switch {
		case before <= 0 && after <= 0 && m != nil:
			class, before, after = "hunk", count(m[1]), count(m[2])
		case before <= 0 && after <= 0:
			if strings.HasPrefix(text, "diff ") || strings.HasPrefix(text, "--- ") || strings.HasPrefix(text, "+++ ") {
				class = "file"
			}
		case strings.HasPrefix(text, "+"):
			class = "add"
			after--
		case strings.HasPrefix(text, "-"):
			class = "del"
			before--
		case !strings.HasPrefix(text, "\\"): // "\ No newline at end of file"
			before--
			after--
		}
		lines = append(lines, Line{class, text})
	}
	return lines
}

// count reads a number of lines; none means one.
func count(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 1
	}
	return n
}

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"why": Why, "place": Place, "same": sameRows,
}).Parse(pageText))

// entityView is an entity with what its patch object says.
type entityView struct {
	build.Entity
	Size      int
	Addresses map[string]patchobject.Function
	Uses      []use
}

// use is something outside of the patch that its code refers to.
type use struct {
	Name, Place string
}

// Write writes the page.
func Write(w io.Writer, in Input) error {
	view := struct {
		Input
		Entities  []entityView
		Functions int
		Bytes     int
	}{Input: in}
	for _, e := range in.Entities {
		v := entityView{Entity: e, Size: len(e.Object), Addresses: map[string]patchobject.Function{}}
		read := v.readObject
		if in.Patch.Type == metadata.KernelPatch {
			read = v.readModule
		}
		if err := read(); err != nil {
			return fmt.Errorf("report on %s: %w", e.Name, err)
		}
		view.Entities = append(view.Entities, v)
		view.Functions += len(e.Functions)
		view.Bytes += len(e.Object)
	}
	return page.Execute(w, view)
}

// readObject reads what the patch object for a program says.
func (v *entityView) readObject() error {
	parsed, err := patchobject.Parse(v.Object)
	if err != nil {
		return err
	}
	for _, f := range parsed.Funcs {
		v.Addresses[f.Name] = f
	}
	for _, name := range slices.Sorted(maps.Keys(parsed.Binds)) {
		b := parsed.Binds[name]
		v.Uses = append(v.Uses, use{b.Symbol, bound(b)})
	}
	return nil
}

// readModule reads what a livepatch module refers to.
func (v *entityView) readModule() error {
	f, err := object.Read(bytes.NewReader(v.Object))
	if err != nil {
		return err
	}
	for _, s := range f.Symbols {
		if s.Name == "" || s.Section != nil {
			continue
		}
		rest, own := strings.CutPrefix(s.Name, ".klp.sym.")
		if !own {
			v.Uses = append(v.Uses, use{s.Name, "exported by the kernel to modules"})
			continue
		}
		of, name, _ := strings.Cut(rest, ".")
		name, position, _ := strings.Cut(name, ",")
		place := "the own one of " + of
		if position != "0" {
			place += ", number " + position + " of this name"
		}
		v.Uses = append(v.Uses, use{name, place})
	}
	return nil
}

// Why says in words why something is in a patch.
func Why(c diff.Content) string {
	of := strings.Join(c.Of, ", ")
	switch c.Reason {
	case diff.Changed:
		return "changed by the fix"
	case diff.Inlined:
		return "has " + of + " inlined, changed by the fix"
	case diff.Clone:
		return "clone of " + of + ", changed by the fix"
	case diff.New:
		if of == "" {
			return "new"
		}
		return "new, used by " + of
	case diff.Needed:
		if c.Function && len(c.Of) == 1 && strings.HasPrefix(c.Name, c.Of[0]+".") {
			return "part of " + of
		}
		return "used by " + of
	case diff.Caller:
		return "calls " + of + ", which cannot be redirected itself"
	case diff.Hook:
		return "called when the patch is applied or removed"
	case diff.Affected:
		return "compiled to other code: a macro, a type or a function that it uses changed"
	}
	return string(c.Reason)
}

// Place is where something begins in the source.
func Place(c diff.Content) string {
	switch {
	case c.Line > 0:
		return fmt.Sprintf("%s:%d", c.File, c.Line)
	case c.File != "":
		return c.File
	}
	return c.Unit
}

// bound says how the place of a symbol is found in a process.
func bound(b patchobject.Bind) string {
	switch b.Kind {
	case patchobject.BindDynamic:
		name := b.Name
		if b.Version != "" {
			name += "@" + b.Version
		}
		return name + " of the libraries that the process has loaded"
	case patchobject.BindTLS:
		return "thread-local, at " + b.Address.String() + " of the program's block"
	case patchobject.BindDynamicTLS:
		return "thread-local variable " + b.Name + " of a library"
	case patchobject.BindTarget:
		return "the program's own, at " + b.Address.String()
	}
	return string(b.Kind)
}

// sameRows counts the instructions that both have.
func sameRows(l build.Listing) (same int) {
	for _, r := range l.Rows {
		if r.Same {
			same++
		}
	}
	return same
}
