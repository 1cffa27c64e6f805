package build

import (
	"context"
	"debug/dwarf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/openeuler/syscare/engine/build/front"
	"github.com/openeuler/syscare/engine/object"
)

// producer is the language family and version in a DW_AT_producer.
type producer struct {
	compiler string // "GNU" or "clang"
	version  string // with the vendor's words
	text     string // the whole
}

var (
	gnuProducer   = regexp.MustCompile(`^GNU (C\S*|GIMPLE\S*) (.*?)(?: -.*)?$`)
	clangProducer = regexp.MustCompile(`clang version (\S+)`)
)

// parseProducer recognises C and C++ compilers; ok is false for assemblers
// and other languages.
func parseProducer(text string) (p producer, ok bool) {
	p.text = text
	if m := gnuProducer.FindStringSubmatch(text); m != nil {
		p.compiler, p.version = "GNU", m[2]
		return p, true
	}
	if m := clangProducer.FindStringSubmatch(text); m != nil {
		p.compiler, p.version = "clang", m[1]
		return p, true
	}
	return p, false
}

// unsupported says why code of this producer cannot be patched at all.
func (p producer) unsupported() string {
	if strings.HasPrefix(p.text, "GNU GIMPLE") || slices.ContainsFunc(strings.Fields(p.text), func(w string) bool {
		return w == "-flto" || strings.HasPrefix(w, "-flto=")
	}) {
		return "link-time optimisation is not supported: functions do not stay in the unit of their source"
	}
	return ""
}

// Producers asks the compilers that the build used who they are.
func (r *Recording) Producers(ctx context.Context, work string, log io.Writer) ([]string, error) {
	asked := map[string]bool{}
	var names []string
	for _, u := range r.units {
		language := front.LanguageC
		switch u.Language {
		case front.LanguageCXX, "c++-cpp-output":
			language = front.LanguageCXX
		case front.LanguageC, "cpp-output":
		default:
			continue
		}
		if asked[u.Tool+language] {
			continue
		}
		asked[u.Tool+language] = true
		name, err := ProducerOf(ctx, u.Tool, u.Env, language, work, log)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// ProducerOf asks a compiler who it is: it compiles an empty file of the language, as the
// option -x names it, and reads who compiled that.
func ProducerOf(ctx context.Context, tool string, env []string, language, work string, log io.Writer) (string, error) {
	dir, err := os.MkdirTemp(work, "producer")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "probe.o")
	source := filepath.Join(dir, "probe.c")
	if err := os.WriteFile(source, []byte("int probe;\n"), 0o644); err != nil {
		return "", err
	}
	if err := RunCommand(ctx, log, dir, env, []string{tool, "-g", "-c", "-x", language, source, "-o", out}); err != nil {
		return "", fmt.Errorf("ask the compiler for its version: %w", err)
	}
	f, err := object.Open(out)
	if err != nil {
		return "", err
	}
	defer f.Close()
	found, err := producersOf(f)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fmt.Errorf("%s does not write who compiled a file (DW_AT_producer): only gcc and clang are supported", tool)
	}
	return found[0].text, nil
}

// producersOf returns the distinct C and C++ producers of all units.
func producersOf(f *object.File) ([]producer, error) {
	data, err := f.DWARF()
	if err != nil {
		return nil, fmt.Errorf("debug information: %w", err)
	}
	units, err := f.UnitOffsets()
	if err != nil {
		return nil, err
	}
	var found []producer
	seen := map[string]bool{}
	reader := data.Reader()
	for _, at := range units {
		reader.Seek(at)
		entry, err := reader.Next()
		if err != nil {
			return nil, fmt.Errorf("debug information: %w", err)
		}
		if entry == nil || entry.Tag != dwarf.TagCompileUnit {
			continue
		}
		text, err := f.Text(entry, dwarf.AttrProducer)
		if err != nil {
			return nil, err
		}
		if text == "" || seen[text] {
			continue
		}
		seen[text] = true
		if p, ok := parseProducer(text); ok {
			found = append(found, p)
		}
	}
	return found, nil
}

// CompilerCheck compares the compilers that made the debuginfo in file name
// with the local ones, as Producers returns them.
func CompilerCheck(name string, debug *object.File, local []string) error {
	theirs, err := producersOf(debug)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(theirs) == 0 {
		return fmt.Errorf("%s: %w", name, errNoProducer)
	}
	var ours []producer
	var oursText []string
	for _, text := range local {
		if p, ok := parseProducer(text); ok {
			ours = append(ours, p)
			oursText = append(oursText, fmt.Sprintf("%q", p.compiler+" "+p.version))
		}
	}
	for _, t := range theirs {
		if reason := t.unsupported(); reason != "" {
			return &CompilerError{File: name, Theirs: t.text, Reason: reason}
		}
		if !slices.ContainsFunc(ours, func(o producer) bool { return o.compiler == t.compiler && o.version == t.version }) {
			return &CompilerError{File: name, Theirs: t.compiler + " " + t.version, Ours: oursText}
		}
	}
	return nil
}

var errNoProducer = errors.New("no unit says which C or C++ compiler made it: give the debuginfo of the package, or skip the compiler check")
