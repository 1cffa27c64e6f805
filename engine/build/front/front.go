package front

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// Main runs the real tool under whose name the program was called, records
// what it did and returns its exit status.
func Main() int {
	name := filepath.Base(os.Args[0])
	tool, env, err := findTool(name, os.Environ())
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 127
	}
	argv := append([]string{name}, os.Args[1:]...)
	if strings.Contains(os.Args[0], "/") {
		argv[0] = tool // compilers look for their parts from there
	}
	log := os.Getenv(LogVariable)
	args, expandErr := expand(os.Args[1:], 0)
	command := Parse(name, args)
	if log == "" || command.Kind == Other && expandErr == nil {
		err := syscall.Exec(tool, argv, env)
		fmt.Fprintf(os.Stderr, "%s: cannot run %s: %v\n", name, tool, err)
		return 126
	}
	session := &session{log: log, command: command, record: Record{Kind: command.Kind, Name: name, Tool: tool, Argv: args}}
	session.note(expandErr)
	session.before(env)
	status, err := run(tool, argv, session.environment(env))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: cannot run %s: %v\n", name, tool, err)
		return 126
	}
	session.record.Exit = status.ExitStatus()
	session.after()
	session.write()
	if status.Signaled() {
		signal.Reset(status.Signal())
		_ = syscall.Kill(os.Getpid(), status.Signal())
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// findTool looks for the tool in PATH, leaving out whatever is this program,
// and returns the environment without the directories left out.
func findTool(name string, env []string) (tool string, without []string, err error) {
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		return "", nil, err
	}
	var kept []string
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if dir == "" {
			dir = "."
		}
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err == nil && os.SameFile(info, self) {
			continue
		}
		kept = append(kept, dir)
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 || tool != "" {
			continue
		}
		if tool, err = filepath.Abs(path); err != nil {
			return "", nil, err
		}
	}
	if tool == "" {
		return "", nil, errors.New("command not found behind the recording front in PATH")
	}
	for _, e := range env {
		if strings.HasPrefix(e, "PATH=") {
			e = "PATH=" + strings.Join(kept, string(filepath.ListSeparator))
		}
		without = append(without, e)
	}
	return tool, without, nil
}

// run runs the tool on our standard files, passing signals on.
func run(tool string, argv, env []string) (syscall.WaitStatus, error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	process, err := os.StartProcess(tool, argv, &os.ProcAttr{Env: env, Files: inheritedFiles()})
	if err != nil {
		return 0, err
	}
	go func() {
		for s := range signals {
			_ = process.Signal(s) // it may have ended already
		}
	}()
	state, err := process.Wait()
	if err != nil {
		return 0, err
	}
	return state.Sys().(syscall.WaitStatus), nil
}

// inheritedFiles keeps descriptors beyond the standard ones, a make
// jobserver's pipes among them; those that are the Go runtime's own are
// closed on exec.
func inheritedFiles() []*os.File {
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	for fd := uintptr(3); fd < 16; fd++ {
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFD, 0)
		if errno != 0 || flags&syscall.FD_CLOEXEC != 0 {
			files = append(files, nil)
			continue
		}
		files = append(files, os.NewFile(fd, "inherited"))
	}
	return files
}

// session is the making of one record.
type session struct {
	log      string
	command  Command
	record   Record
	depsFile string            // the compiler's answer to SUNPRO_DEPENDENCIES
	earlier  map[string]string // digests of what a transformation overwrites
}

// note adds an error to the record.
func (s *session) note(err error) {
	if err == nil {
		return
	}
	if s.record.Error != "" {
		s.record.Error += "; "
	}
	s.record.Error += err.Error()
}

// before records what the run may overwrite, and the environment.
func (s *session) before(env []string) {
	dir, err := os.Getwd()
	s.note(err)
	s.record.Dir = dir
	var matters []string
	for _, e := range env {
		switch name, _, _ := strings.Cut(e, "="); name {
		case LogVariable, "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "SHLVL", "_":
		default:
			matters = append(matters, e)
		}
	}
	sum := sha256.Sum256([]byte(strings.Join(matters, "\x00")))
	s.record.Env = "env-" + hex.EncodeToString(sum[:16])
	if _, err := os.Stat(keyPath(s.log, s.record.Env)); err != nil {
		s.note(writeKey(s.log, s.record.Env, matters))
	}
	if s.command.Kind != Transform {
		return
	}
	s.earlier = map[string]string{}
	for _, path := range s.command.Objects {
		if in, ok, err := input(s.log, path); err == nil && ok && in.Digest != "" {
			s.earlier[path] = in.Digest
		}
	}
}

// environment asks the compiler for dependencies where the command does not.
func (s *session) environment(env []string) []string {
	if len(s.command.Sources) == 0 || s.command.Deps != noDeps {
		return env
	}
	for _, e := range env {
		if strings.HasPrefix(e, "DEPENDENCIES_OUTPUT=") || strings.HasPrefix(e, "SUNPRO_DEPENDENCIES=") {
			return env // the build asks in its own way
		}
	}
	s.depsFile = filepath.Join(filepath.Dir(s.log), "deps", fmt.Sprint(os.Getpid()))
	return append(env[:len(env):len(env)], "SUNPRO_DEPENDENCIES="+s.depsFile+" object")
}

// after looks at what the tool left behind.
func (s *session) after() {
	deps := s.depsFile
	if deps == "" {
		deps = s.command.DepFile
	}
	s.readDeps(deps)
	s.record.Sources, s.record.Output = s.command.Sources, s.command.Output
	if s.record.Exit != 0 {
		return
	}
	for i := range s.record.Sources {
		source := &s.record.Sources[i]
		var err error
		if source.Path != "-" {
			source.Digest, err = Digest(source.Path)
			s.note(err)
		}
		if source.Output != "" && source.Output != "/dev/null" {
			source.Object, err = Digest(source.Output)
			s.note(err)
		}
	}
	switch s.command.Kind {
	case Link:
		s.afterLink()
	case Transform:
		s.afterTransform()
	}
}

func (s *session) readDeps(path string) {
	if path == "" {
		return
	}
	data, err := os.ReadFile(path)
	if s.depsFile != "" {
		defer os.Remove(s.depsFile)
	}
	if err != nil {
		return // the unit is asked again when it matters
	}
	rules := parseRules(string(data))
	sources := s.command.Sources
	for i := range sources {
		sources[i].DepsComplete = s.depsFile != "" || s.command.Deps == allDeps
		if len(rules) == len(sources) {
			sources[i].Deps = rules[i]
			continue
		}
		for _, rule := range rules { // too many rather than too few
			sources[i].Deps = append(sources[i].Deps, rule...)
		}
	}
}

func (s *session) afterLink() {
	if s.record.Output == "" {
		s.record.Output = "a.out"
	}
	paths := append([]string(nil), s.command.Objects...)
	for _, lib := range s.command.Libs {
		if path := s.findLibrary(lib); path != "" {
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		in, ok, err := input(s.log, path)
		s.note(err)
		if ok {
			s.record.Inputs = append(s.record.Inputs, in)
		}
	}
	if s.record.Output == "/dev/null" {
		return
	}
	var err error
	s.record.Digest, s.record.Linked, err = keep(s.log, s.record.Output)
	s.note(err)
}

// findLibrary looks for a static library in the directories of -L; the
// system's own directories hold nothing that the build has compiled.
func (s *session) findLibrary(name string) string {
	archive, shared := "lib"+name+".a", "lib"+name+".so"
	if strings.HasPrefix(name, ":") {
		archive, shared = name[1:], ""
	}
	for _, dir := range s.command.LibDirs {
		if shared != "" && !s.command.Static {
			if _, err := os.Stat(filepath.Join(dir, shared)); err == nil {
				// The command may still ask for the archive with -Bstatic;
				// too many inputs do no harm.
				if _, err := os.Stat(filepath.Join(dir, archive)); err != nil {
					return ""
				}
			}
		}
		if _, err := os.Stat(filepath.Join(dir, archive)); err == nil {
			return filepath.Join(dir, archive)
		}
	}
	return ""
}

func (s *session) afterTransform() {
	for i, path := range s.command.Objects {
		digest, known := s.earlier[path]
		if !known {
			continue
		}
		output := path
		if toolOf(s.record.Name) == "objcopy" && len(s.command.Objects) == 2 {
			if i == 1 {
				continue
			}
			output = s.command.Objects[1]
		} else if s.command.Output != "" {
			output = s.command.Output
		}
		made, err := Digest(output)
		s.note(err)
		s.record.Inputs = append(s.record.Inputs, Input{Path: path, Digest: digest})
		s.record.Sources = append(s.record.Sources, Source{Path: path, Digest: digest, Output: output, Object: made})
	}
}

// write appends the record; a log that cannot be written is marked broken.
func (s *session) write() {
	if s.command.Kind == Transform && len(s.record.Inputs) == 0 && s.record.Error == "" {
		return // no objects: strip of a linked file
	}
	if err := s.record.write(s.log); err != nil {
		broken := fmt.Sprintf("%s in %s: %v\n", s.record.Name, s.record.Dir, err)
		if err := os.WriteFile(s.log+BrokenSuffix, []byte(broken), 0o600); err != nil {
			fmt.Fprintf(os.Stderr, "%s: the recording of this build is incomplete: %s", s.record.Name, broken)
		}
	}
}
