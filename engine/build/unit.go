package build

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openeuler/syscare/engine/build/front"
)

// Unit is one source file as one command of the build compiled it.
type Unit struct {
	Source   string   // absolute path
	Language string   // as the compilers' -x option names it
	Dir      string   // working directory of the command
	Tool     string   // absolute path of the compiler
	Argv     []string // its arguments, response files expanded
	Env      []string
	Deps     []string // absolute paths of the headers
	Output   string   // absolute path of the object; "" inside a compile-and-link command
	Digest   string   // of the object as it was made; "" likewise

	record *front.Record
	index  int // in record.Sources
	// depsComplete says that Deps is all that the compiler read.
	depsComplete bool
}

func (r *Recording) newUnit(record *front.Record, index int) (*Unit, error) {
	env, err := r.environment(record.Env)
	if err != nil {
		return nil, err
	}
	s := record.Sources[index]
	u := &Unit{
		Source: absolute(record.Dir, s.Path), Language: s.Language, Dir: record.Dir, Tool: record.Tool,
		Argv: record.Argv, Env: env, Digest: s.Object, record: record, index: index, depsComplete: s.DepsComplete,
	}
	if s.Output != "" {
		u.Output = absolute(record.Dir, s.Output)
	}
	for _, d := range s.Deps {
		if d = absolute(record.Dir, d); d != u.Source {
			u.Deps = append(u.Deps, d)
		}
	}
	return u, nil
}

// DiffFlags are the flags that comparing objects needs, beside those of the
// recorded command. They change where code is put, not what it is.
func DiffFlags() []string {
	return []string{"-ffunction-sections", "-fdata-sections", "-fno-common"}
}

// Compile makes the unit's object again, as out. With no extra flags it is
// compiled as in the build.
func (u *Unit) Compile(ctx context.Context, out string, log io.Writer, extra ...string) error {
	if u.Source == absolute(u.Dir, "-") {
		return &NotReplayableError{File: u.Source, Reason: "which the build gave to the compiler through a pipe"}
	}
	argv := append([]string{u.Tool}, u.arguments()...)
	if toolIsDriver(u.Tool, u.record.Name) {
		argv = append(argv, "-c", "-fno-lto", "-Wno-error", "-w")
		if !slices.ContainsFunc(u.Argv, func(a string) bool { return strings.HasPrefix(a, "-frandom-seed") }) {
			argv = append(argv, "-frandom-seed=syscare")
		}
		argv = append(argv, extra...)
		if len(extra) > 0 && !hasDebugInfo(u.Argv) {
			argv = append(argv, "-g")
		}
		if len(extra) > 0 && strings.HasPrefix(u.Language, front.LanguageCXX) {
			argv = append(argv, classDebug(u.Tool))
		}
		if slices.Contains(u.Argv, "-gsplit-dwarf") {
			argv = append(argv, "-gno-split-dwarf")
		}
		if slices.Contains(u.Argv, "-fdebug-types-section") {
			argv = append(argv, "-fno-debug-types-section")
		}
	}
	err := RunCommand(ctx, log, u.Dir, u.Env, append(argv, "-o", out))
	if err != nil {
		return fmt.Errorf("compile %s again: %w", u.Source, err)
	}
	return nil
}

// classDebug makes a compiler describe each class in each unit that uses it, and
// not only in the one with its table of virtual functions.
func classDebug(tool string) string {
	if strings.Contains(filepath.Base(tool), "clang") {
		return "-fstandalone-debug"
	}
	return "-femit-class-debug-always"
}

// toolIsDriver tells compilers from assemblers, which know none of the flags.
func toolIsDriver(tool, name string) bool {
	return name != "as" && !strings.HasSuffix(filepath.Base(tool), "-as")
}

// arguments returns the recorded arguments without other sources, linking,
// outputs and dependency files.
func (u *Unit) arguments() []string {
	command := front.Parse(u.record.Name, u.Argv)
	others := map[string]bool{}
	for _, o := range command.Objects {
		others[o] = true
	}
	var out []string
	for i := 0; i < len(u.Argv); i++ {
		a := u.Argv[i]
		if index, source := command.Operands[i]; source {
			if index == u.index {
				out = append(out, a)
			}
			continue
		}
		switch {
		case a == "-o", a == "-MF", a == "-MT", a == "-MQ", a == "-l", a == "-L", a == "-Xlinker", a == "-T", a == "-dumpdir",
			a == "-dumpbase", a == "-dumpbase-ext":
			i++
		case takesValue(a) && i+1 < len(u.Argv):
			out = append(out, a, u.Argv[i+1])
			i++
		case others[a], dropped(a):
		case strings.HasPrefix(a, "-Wp,-M"):
			if rest := preprocessorRest(a); rest != "" {
				out = append(out, rest)
			}
		default:
			out = append(out, a)
		}
	}
	return out
}

// takesValue lists the options whose value could be mistaken for an operand.
func takesValue(a string) bool {
	switch a {
	case "-x", "-I", "-D", "-U", "-include", "-imacros", "-isystem", "-iquote", "-idirafter", "-iprefix", "-iwithprefix",
		"-iwithprefixbefore", "-isysroot", "--sysroot", "-Xpreprocessor", "-Xassembler", "-Xclang", "--param", "-target", "-arch",
		"-aux-info", "-wrapper", "-B", "-mllvm":
		return true
	}
	return false
}

// dropped lists what must not be repeated: outputs beside the object. Options
// of linking are without effect, but drivers let some choose code generation.
func dropped(a string) bool {
	switch a {
	case "-c", "-M", "-MM", "-MD", "-MMD", "-MP", "-MG", "-save-temps":
		return true
	}
	for _, prefix := range []string{"-o", "-MF", "-MT", "-MQ", "-l", "-L", "-Wl,", "-save-temps=", "-fdump-"} {
		if strings.HasPrefix(a, prefix) {
			return true
		}
	}
	return false
}

// preprocessorRest takes the dependency options out of -Wp,….
func preprocessorRest(a string) string {
	words := strings.Split(a, ",")
	kept := words[:1]
	for i := 1; i < len(words); i++ {
		switch words[i] {
		case "-MD", "-MMD", "-MF", "-MT", "-MQ":
			if i+1 < len(words) && !strings.HasPrefix(words[i+1], "-") {
				i++
			}
		case "-MP", "-MG":
		default:
			kept = append(kept, words[i])
		}
	}
	if len(kept) == 1 {
		return ""
	}
	return strings.Join(kept, ",")
}

// hasDebugInfo reports whether the last -g option asks for types and lines.
func hasDebugInfo(argv []string) bool {
	has := false
	for _, a := range argv {
		switch {
		case a == "-g0", a == "-g1", a == "-ggdb0", a == "-ggdb1", a == "-gmlt", a == "-gline-tables-only":
			has = false
		case a == "-g", a == "-g2", a == "-g3", strings.HasPrefix(a, "-ggdb"), strings.HasPrefix(a, "-gdwarf"):
			has = true
		}
	}
	return has
}

// dependencies returns all that the compiler reads for the unit, asking it
// again where the build's own dependency file left out system headers.
func (u *Unit) dependencies(ctx context.Context, work string, log io.Writer) ([]string, error) {
	if u.depsComplete || u.Language == front.LanguageAssembler || !toolIsDriver(u.Tool, u.record.Name) {
		return u.Deps, nil
	}
	file, err := os.CreateTemp(work, "deps")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	if err := file.Close(); err != nil {
		return nil, err
	}
	argv := append([]string{u.Tool}, u.arguments()...)
	argv = append(argv, "-w", "-M", "-MT", "object", "-MF", file.Name())
	if err := RunCommand(ctx, log, u.Dir, u.Env, argv); err != nil {
		return nil, fmt.Errorf("headers of %s: %w", u.Source, err)
	}
	names, err := front.ReadRules(file.Name())
	if err != nil {
		return nil, err
	}
	u.Deps = nil
	for _, name := range names {
		if path := absolute(u.Dir, name); path != u.Source {
			u.Deps = append(u.Deps, path)
		}
	}
	u.depsComplete = true
	return u.Deps, nil
}

// recordedObject returns a path of the object that the build made, compiling
// it again without any new flag when it is no longer there.
func (u *Unit) recordedObject(ctx context.Context, out string, log io.Writer) (string, error) {
	if u.Output != "" {
		if digest, err := front.Digest(u.Output); err == nil && digest == u.Digest {
			return u.Output, nil
		}
	}
	return out, u.Compile(ctx, out, log)
}

func isSource(path string) bool {
	switch filepath.Ext(path) {
	case ".c", ".cc", ".cp", ".cxx", ".cpp", ".CPP", ".c++", ".C", ".i", ".ii":
		return true
	}
	return false
}

func isHeader(path string) bool {
	switch filepath.Ext(path) {
	case ".h", ".hh", ".hpp", ".hxx", ".h++", ".H", ".inc", ".ipp", ".tcc", ".def":
		return true
	}
	return false
}
