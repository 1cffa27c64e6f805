package specgen

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrContent says that a patch cannot be packaged as it is.
	ErrContent = errors.New("cannot package the patch")
	// ErrSource says that a source package is not laid out as rpmbuild needs.
	ErrSource = errors.New("the source package cannot be built from")
	// ErrOtherBuild says that a debuginfo package does not belong to a source
	// package.
	ErrOtherBuild = errors.New("debuginfo of another build")
	// ErrNoDebugFiles says that a debuginfo package has nothing to patch in it.
	ErrNoDebugFiles = errors.New("the package holds no debug information of programs; give the -debuginfo package")
	// ErrNotHotpatchSource says that a package is no source package of a patch.
	ErrNotHotpatchSource = errors.New("not the source package of a patch")
)

// MissingDependenciesError names what a source package needs to be built and
// this machine does not have.
type MissingDependenciesError struct {
	Names []string // as rpmbuild spells them, e.g. "openssl-devel >= 3"
	Apt   []string // packages that bring them, where apt is what installs packages
}

func (e *MissingDependenciesError) Error() string {
	command := "apt-get install " + strings.Join(e.Apt, " ")
	if len(e.Apt) == 0 {
		quoted := make([]string, len(e.Names))
		for i, name := range e.Names {
			quoted[i] = "'" + name + "'"
		}
		command = "dnf install " + strings.Join(quoted, " ")
	}
	return fmt.Sprintf("build requirements are not installed: %s; install them with: %s", strings.Join(e.Names, ", "), command)
}

// CommandError tells which command failed and what it said last.
type CommandError struct {
	Argv []string
	Tail string // the end of its output
	Err  error
}

func (e *CommandError) Error() string {
	text := fmt.Sprintf("command %q failed: %v", strings.Join(e.Argv, " "), e.Err)
	if e.Tail != "" {
		text += "\n" + e.Tail
	}
	return text
}

func (e *CommandError) Unwrap() error { return e.Err }
