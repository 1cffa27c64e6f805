package build

import (
	"fmt"
	"strings"
)

// CommandError is a command that failed.
type CommandError struct {
	Argv   []string
	Dir    string
	Output string // the end of what it wrote
	Err    error
}

// Error gives the command and the end of its output.
func (e *CommandError) Error() string {
	text := fmt.Sprintf("%s (in %s): %v", shorten(strings.Join(e.Argv, " "), 300), e.Dir, e.Err)
	if e.Output != "" {
		text += ":\n" + e.Output
	}
	return text
}

func (e *CommandError) Unwrap() error { return e.Err }

func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}

// IncompleteError says that the recording lacks something.
type IncompleteError struct {
	Command string // and its directory
	Reason  string
}

// Error says what is missing.
func (e *IncompleteError) Error() string {
	return fmt.Sprintf("the recording of the build is incomplete: %s: %s", e.Command, e.Reason)
}

// UnknownObjectError is a C or C++ object of a linked file which no recorded
// command made.
type UnknownObjectError struct {
	Object string // path, with the member in parentheses for archives
	Link   string
}

// Error names the object and what to do.
func (e *UnknownObjectError) Error() string {
	return fmt.Sprintf("%s, linked into %s, was not compiled by a recorded command: "+
		"the build calls a compiler by an absolute path or came with the object ready made; let it find the compiler through PATH (CC=gcc)", e.Object, e.Link)
}

// PatchError is a patch file that does not fit the source tree.
type PatchError struct {
	Patch  string
	Reason string
}

// Error names the patch and what does not fit.
func (e *PatchError) Error() string { return fmt.Sprintf("patch %s: %s", e.Patch, e.Reason) }

// NotReplayableError is a changed file whose effect on the build is unknown.
type NotReplayableError struct {
	File   string
	Reason string
}

// Error names the file and the reason.
func (e *NotReplayableError) Error() string {
	return fmt.Sprintf("the patch changes %s, %s: only changes of C and C++ sources and headers can be made again", e.File, e.Reason)
}

// CompilerError says that the debuginfo comes from another compiler.
type CompilerError struct {
	File   string // debuginfo
	Theirs string // producer of the debuginfo
	Ours   []string
	Reason string // "" for a plain difference of versions
}

// Error names both compilers.
func (e *CompilerError) Error() string {
	if e.Reason != "" {
		return fmt.Sprintf("%s: compiled by %q: %s", e.File, e.Theirs, e.Reason)
	}
	return fmt.Sprintf("%s: compiled by %q, but the compiler here is %s; install that compiler, or skip the compiler check at your own risk",
		e.File, e.Theirs, strings.Join(e.Ours, ", "))
}

// OtherBuildError is debuginfo that does not belong to what was built here.
type OtherBuildError struct {
	Debug   string // path of the debuginfo
	Link    string // best candidate, "" if there was none
	Same    int    // functions of equal name and size
	Total   int    // functions in the debuginfo
	Differs []string
}

// Error names the file and gives the counts.
func (e *OtherBuildError) Error() string {
	text := fmt.Sprintf("%s is debuginfo of another build: ", e.Debug)
	if e.Link == "" {
		return text + "no file that was linked here has its functions"
	}
	text += fmt.Sprintf("%d of its %d functions are the same in %s", e.Same, e.Total, e.Link)
	if len(e.Differs) > 0 {
		text += "; these differ: " + nameSome(e.Differs)
	}
	return text + "; use the source package, the compiler and the build dependencies of the debuginfo"
}

// nameSome lists at most ten names.
func nameSome(names []string) string {
	const most = 10
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
