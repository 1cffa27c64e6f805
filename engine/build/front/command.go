package front

import (
	"path/filepath"
	"strings"
)

// Kind says what a command does.
type Kind string

const (
	Compile   Kind = "compile"   // sources to objects
	Translate Kind = "translate" // sources to preprocessed or assembler text
	Link      Kind = "link"      // sources, objects and archives to one ELF file
	Transform Kind = "transform" // one object to another: strip, objcopy
	Other     Kind = ""          // nothing to record
)

// Languages of sources, as the compilers' -x option names them.
const (
	LanguageC         = "c"
	LanguageCXX       = "c++"
	LanguageAssembler = "assembler"
)

// Command is what a command line says.
type Command struct {
	Kind    Kind
	Sources []Source
	Objects []string // operands that are not sources
	Libs    []string // of -l
	LibDirs []string // of -L
	Output  string   // "" if the command leaves it to the tool
	DepFile string   // dependency file that the command makes
	Deps    depMode
	Static  bool // -static
	// Operands are the places of sources in the arguments.
	Operands map[int]int // index in the arguments to index in Sources
}

type depMode int

const (
	noDeps   depMode = iota
	userDeps         // without system headers
	allDeps
)

// Parse reads the arguments of the tool called name.
func Parse(name string, args []string) Command {
	switch toolOf(name) {
	case "gcc":
		return parseCompiler(args)
	case "ld":
		return parseLinker(args)
	case "as":
		return parseAssembler(args)
	case "strip", "objcopy":
		return parseTransform(args)
	}
	return Command{}
}

// IsTool reports whether the front knows the tool called name.
func IsTool(name string) bool { return toolOf(name) != "" }

// toolOf takes a host triplet, a version and ld's variants off a tool's name.
func toolOf(name string) string {
	if i := strings.LastIndexByte(name, '-'); i > 0 && strings.Trim(name[i+1:], "0123456789.") == "" {
		name = name[:i]
	}
	name = name[strings.LastIndexByte(name, '-')+1:]
	switch name {
	case "gcc", "cc", "g++", "c++", "c89", "c99", "clang", "clang++":
		return "gcc"
	case "ld", "ld.bfd", "ld.gold", "ld.lld", "lld", "mold":
		return "ld"
	case "as", "strip", "objcopy":
		return name
	}
	return ""
}

var languages = map[string]string{
	".c": LanguageC, ".i": "cpp-output",
	".cc": LanguageCXX, ".cp": LanguageCXX, ".cxx": LanguageCXX, ".cpp": LanguageCXX, ".CPP": LanguageCXX,
	".c++": LanguageCXX, ".C": LanguageCXX, ".ii": "c++-cpp-output",
	".s": LanguageAssembler, ".S": "assembler-with-cpp", ".sx": "assembler-with-cpp",
	".m": "objective-c", ".mm": "objective-c++",
}

// Options of compilers that take the next argument.
var compilerValues = set("-o -x -I -D -U -include -imacros -isystem -iquote -idirafter -iprefix -iwithprefix " +
	"-iwithprefixbefore -isysroot -imultilib -MF -MT -MQ -L -l -T -u -z -e -h -A -B -G -R -Xlinker -Xpreprocessor " +
	"-Xassembler -Xclang -arch -target -aux-info -wrapper --param -Ttext -Tdata -Tbss -dumpdir -dumpbase -dumpbase-ext -mllvm --sysroot")

// Options that make a compiler ask instead of work.
var compilerQueries = set("--version -dumpversion -dumpfullversion -dumpmachine -dumpspecs --help --target-help -###")

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

func parseCompiler(args []string) Command {
	c := Command{Kind: Link, Operands: map[int]int{}}
	language := ""
	onlyDeps, assembly := false, false
	for i := 0; i < len(args); i++ {
		a := args[i]
		value := ""
		place := i
		if compilerValues[a] && i+1 < len(args) {
			i++
			value = args[i]
		}
		switch {
		case compilerQueries[a], strings.HasPrefix(a, "-print-"), strings.HasPrefix(a, "--print-"), strings.HasPrefix(a, "--help="):
			return Command{}
		case a == "-c":
			if c.Kind == Link {
				c.Kind = Compile
			}
		case a == "-S":
			c.Kind, assembly = Translate, true
		case a == "-E", a == "-fsyntax-only":
			c.Kind = Translate
		case a == "-static", a == "-Wl,-Bstatic":
			c.Static = true
		case a == "-M", a == "-MM":
			onlyDeps = true
		case a == "-MD":
			c.Deps = allDeps
		case a == "-MMD":
			c.Deps = userDeps
		case a == "-MF":
			c.DepFile = value
		case strings.HasPrefix(a, "-MF"):
			c.DepFile = a[3:]
		case strings.HasPrefix(a, "-Wp,-M"):
			c.preprocessorDeps(strings.Split(a, ",")[1:])
		case a == "-o":
			c.Output = value
		case strings.HasPrefix(a, "-o") && len(a) > 2:
			c.Output = a[2:]
		case a == "-x":
			language = value
		case strings.HasPrefix(a, "-x") && len(a) > 2:
			language = a[2:]
		case a == "-L":
			c.LibDirs = append(c.LibDirs, value)
		case strings.HasPrefix(a, "-L"):
			c.LibDirs = append(c.LibDirs, a[2:])
		case a == "-l":
			c.Libs = append(c.Libs, value)
		case strings.HasPrefix(a, "-l"):
			c.Libs = append(c.Libs, a[2:])
		case len(a) > 1 && a[0] == '-':
		default:
			c.operand(place, a, language)
		}
	}
	if onlyDeps || len(c.Sources) == 0 && (len(c.Objects) == 0 || c.Kind != Link) {
		return Command{}
	}
	if c.Kind == Compile {
		c.nameOutputs(".o")
	}
	if assembly {
		c.nameOutputs(".s")
	}
	if c.Deps != noDeps && c.DepFile == "" {
		c.DepFile = c.defaultDepFile()
	}
	return c
}

// operand files one operand; language is that of -x, "" or "none" if the
// name's ending decides.
func (c *Command) operand(place int, name, language string) {
	if language == "" || language == "none" {
		language = languages[filepath.Ext(name)]
	}
	if language == "" {
		c.Objects = append(c.Objects, name)
		return
	}
	c.Operands[place] = len(c.Sources)
	c.Sources = append(c.Sources, Source{Path: name, Language: language})
}

// preprocessorDeps reads the older spelling -Wp,-MD,FILE.
func (c *Command) preprocessorDeps(words []string) {
	for i, w := range words {
		switch w {
		case "-MD":
			c.Deps = allDeps
		case "-MMD":
			c.Deps = userDeps
		default:
			continue
		}
		if i+1 < len(words) && !strings.HasPrefix(words[i+1], "-") {
			c.DepFile = words[i+1]
		}
	}
}

func (c *Command) nameOutputs(ending string) {
	for i := range c.Sources {
		if c.Output != "" {
			c.Sources[i].Output = c.Output
			continue
		}
		c.Sources[i].Output = withEnding(filepath.Base(c.Sources[i].Path), ending)
	}
}

// defaultDepFile follows gcc(1), -MD.
func (c *Command) defaultDepFile() string {
	if c.Output != "" && c.Kind != Link {
		return withEnding(c.Output, ".d")
	}
	if len(c.Sources) == 1 {
		base := withEnding(filepath.Base(c.Sources[0].Path), ".d")
		if c.Kind == Link { // prefixed by the output, gcc 11 and later
			if c.Output == "" {
				return "a-" + base
			}
			return c.Output + "-" + base
		}
		return base
	}
	return ""
}

func withEnding(path, ending string) string {
	return strings.TrimSuffix(path, filepath.Ext(path)) + ending
}

// Options of GNU linkers that take the next argument.
var linkerValues = set("-o --output -L --library-path -l --library -T --script -m -e --entry -u --undefined -z -h -soname " +
	"--soname -rpath --rpath -rpath-link --rpath-link -dynamic-linker --dynamic-linker -I -y --trace-symbol -Map -Ttext " +
	"-Tdata -Tbss -Ttext-segment --version-script -version-script --dynamic-list -R --just-symbols -f --auxiliary -F " +
	"--filter -a -A --architecture -b --format -c --mri-script -G -plugin --plugin -plugin-opt --plugin-opt -dT " +
	"--default-script --section-start --defsym -defsym --retain-symbols-file -init -fini -assert --wrap --sysroot --oformat")

func parseLinker(args []string) Command {
	c := Command{Kind: Link, Output: "a.out"}
	for i := 0; i < len(args); i++ {
		a := args[i]
		value := ""
		if linkerValues[a] && i+1 < len(args) {
			i++
			value = args[i]
		}
		switch {
		case a == "-o", a == "--output":
			c.Output = value
		case strings.HasPrefix(a, "--output="):
			c.Output = a[len("--output="):]
		case a == "-L", a == "--library-path":
			c.LibDirs = append(c.LibDirs, value)
		case strings.HasPrefix(a, "-L"):
			c.LibDirs = append(c.LibDirs, a[2:])
		case a == "-l", a == "--library":
			c.Libs = append(c.Libs, value)
		case strings.HasPrefix(a, "-l"):
			c.Libs = append(c.Libs, a[2:])
		case a == "-Bstatic", a == "-static":
			c.Static = true
		case strings.HasPrefix(a, "-"):
		default:
			c.Objects = append(c.Objects, a)
		}
	}
	if len(c.Objects) == 0 {
		return Command{}
	}
	return c
}

func parseAssembler(args []string) Command {
	c := Command{Kind: Compile, Output: "a.out", Operands: map[int]int{}}
	values := set("-o -I -defsym --defsym -MD --MD")
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case values[a] && i+1 < len(args):
			i++
			if a == "-o" {
				c.Output = args[i]
			}
		case strings.HasPrefix(a, "-"):
		default:
			c.Operands[i] = len(c.Sources)
			c.Sources = append(c.Sources, Source{Path: a, Language: LanguageAssembler})
		}
	}
	if len(c.Sources) != 1 {
		return Command{}
	}
	c.nameOutputs(".o")
	return c
}

// parseTransform knows the forms "strip FILE…" and "objcopy IN [OUT]".
func parseTransform(args []string) Command {
	c := Command{Kind: Transform}
	values := set("-o -F -I -O -j -R -K -N -L -G -W -B -b -i --target --input-target --output-target --add-section " +
		"--only-section --remove-section --keep-symbol --strip-symbol --redefine-sym --set-section-flags --rename-section --update-section")
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case values[a] && i+1 < len(args):
			i++
			if a == "-o" {
				c.Output = args[i]
			}
		case strings.HasPrefix(a, "-"):
		default:
			c.Objects = append(c.Objects, a)
		}
	}
	if len(c.Objects) == 0 {
		return Command{}
	}
	return c
}
