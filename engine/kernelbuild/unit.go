package kernelbuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/engine/object"
)

// unit is one source file of the kernel, and how the kernel's build compiles it.
type unit struct {
	Source string // relative to the tree
	Module string // name of the module that it belongs to; "" for the kernel itself

	object  string // of the kernel's build, as its command names it: relative to Tree.Out, or absolute
	command string // that makes it, for a shell
	crcs    map[string]uint32
}

// NotCompiledError is a source file that the kernel's build does not compile.
type NotCompiledError struct {
	Source string
	Err    error
}

// Error names the file.
func (e *NotCompiledError) Error() string {
	return fmt.Sprintf("%s: the kernel's build does not compile it: %v", e.Source, e.Err)
}

func (e *NotCompiledError) Unwrap() error { return e.Err }

// record lets the kernel's build compile the units as they were for the shipped kernel, and
// notes how.
func (t *Tree) record(ctx context.Context, units []*unit) error {
	var targets []string
	for _, u := range units {
		u.object = filepath.Join(t.Module, strings.TrimSuffix(u.Source, ".c")+".o")
		targets = append(targets, u.object)
	}
	if t.Module != "" {
		if err := t.makeModule(ctx, t.Module, "modules", "KBUILD_MODPOST_WARN=1"); err != nil { // what other modules export is not known
			return fmt.Errorf("build the modules: %w", err)
		}
	} else if err := t.make(ctx, targets...); err != nil {
		var failed *build.CommandError
		if errors.As(err, &failed) && len(units) == 1 {
			return &NotCompiledError{units[0].Source, err}
		}
		return err
	}
	for _, u := range units {
		dir, base := filepath.Split(t.objectPath(u))
		text, err := os.ReadFile(filepath.Join(dir, "."+base+".cmd"))
		if err != nil {
			return err
		}
		if err := u.readCommand(string(text)); err != nil {
			return fmt.Errorf("%s: %w", u.Source, err)
		}
	}
	return nil
}

var (
	// commandLine is how scripts/Kbuild.include notes the command that made a file.
	commandLine = regexp.MustCompile(`(?m)^(?:saved)?cmd_\S+ := (.*)$`)
	// crcLine is how scripts/Makefile.build notes the sum of an exported symbol's type.
	crcLine = regexp.MustCompile(`(?m)^#SYMVER (\S+) (0x[0-9a-fA-F]{1,8})$`)
)

// readCommand reads the file that the kernel's build leaves beside an object.
func (u *unit) readCommand(text string) error {
	m := commandLine.FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("the kernel's build does not note how it compiles the file")
	}
	u.command = strings.NewReplacer("$$", "$", `\#`, "#").Replace(m[1])
	if !strings.Contains(u.command, " -o "+u.object+" ") {
		return fmt.Errorf("the command that compiles the file is not understood: %s", u.command)
	}
	u.crcs = map[string]uint32{}
	for _, m := range crcLine.FindAllStringSubmatch(text, -1) {
		crc, err := strconv.ParseUint(m[2], 0, 32)
		if err != nil {
			return err
		}
		u.crcs[m[1]] = uint32(crc)
	}
	return nil
}

// objectPath is where the kernel's build leaves the unit's object.
func (t *Tree) objectPath(u *unit) string {
	if filepath.IsAbs(u.object) {
		return u.object
	}
	return filepath.Join(t.Out, u.object)
}

// notesAll reports whether the commands of the units are all that the kernel's build does to
// make their objects.
func (t *Tree) notesAll(units []*unit) (bool, error) {
	for _, u := range units {
		if strings.Contains(u.command, "objtool") {
			continue
		}
		f, err := object.Open(t.objectPath(u))
		if err != nil {
			return false, err
		}
		tooled := f.Section(".orc_unwind") != nil
		if err := f.Close(); err != nil || tooled {
			return false, err
		}
	}
	return true, nil
}

// compileByMake makes the units' objects with more flags by the kernel's build, in the place
// of the ones that are there, and moves them to their places. What was there is made anew
// when it is wanted.
func (t *Tree) compileByMake(ctx context.Context, units []*unit, outs []string, flags ...string) error {
	extra := "KCFLAGS=" + strings.Join(flags, " ")
	var targets []string
	for _, u := range units {
		if err := os.Remove(t.objectPath(u)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		targets = append(targets, u.object)
	}
	var err error
	if t.Module != "" {
		err = t.makeModule(ctx, t.Module, "modules", "KBUILD_MODPOST_WARN=1", extra)
	} else {
		err = t.make(ctx, append(targets, extra)...)
	}
	if err != nil {
		return err
	}
	for i, u := range units {
		data, err := os.ReadFile(t.objectPath(u))
		if err != nil {
			return err
		}
		if err := os.WriteFile(outs[i], data, 0o644); err != nil {
			return err
		}
		if err := os.Remove(t.objectPath(u)); err != nil {
			return err
		}
	}
	return nil
}

var dependencyFile = regexp.MustCompile(`-Wp,-MM?D,\S+`)

// compile makes the unit's object as out, with more flags. The tools that the kernel's build
// runs on an object (objtool) are run on it as well.
func (t *Tree) compile(ctx context.Context, u *unit, out string, flags ...string) error {
	command := dependencyFile.ReplaceAllString(u.command, "-Wp,-MMD,"+out+".d")
	command = strings.Replace(command, " -o "+u.object+" ", " "+strings.Join(flags, " ")+" -o "+out+" ", 1)
	command = replaceWord(command, u.object, out)
	err := build.RunCommand(ctx, t.Log, t.Out, environment(), []string{"sh", "-c", "set -e; " + command})
	if err != nil {
		return fmt.Errorf("compile %s: %w", u.Source, err)
	}
	return nil
}

// replaceWord replaces a name where it stands alone in a command.
func replaceWord(command, name, by string) string {
	words := strings.Split(command, " ")
	for i, w := range words {
		if w == name {
			words[i] = by
		}
	}
	return strings.Join(words, " ")
}
