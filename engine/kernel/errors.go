package kernel

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNotLivepatch says that a file is no livepatch module.
	ErrNotLivepatch = errors.New("not a livepatch module")
	// ErrUnsupported says that this kernel has no live patching.
	ErrUnsupported = errors.New("this kernel has no live patching (CONFIG_LIVEPATCH), or /sys is not mounted")
	// ErrOtherKernel says that a module is for another kernel than the one that runs.
	ErrOtherKernel = errors.New("the patch is for another kernel")
	// ErrRefused says that the kernel did not take a module.
	ErrRefused = errors.New("the kernel refused the patch")
)

// FileError is what is wrong with a module's file.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string { return fmt.Sprintf("%s: %v", e.Path, e.Err) }
func (e *FileError) Unwrap() error { return e.Err }

// RefusedError is a module that the kernel did not take, with its reason.
type RefusedError struct {
	Module string
	Err    error    // of the system call
	Advice string   // what it means, and what to do
	Log    []string // what the kernel wrote to its log meanwhile
}

func (e *RefusedError) Error() string {
	text := fmt.Sprintf("%v %s: %v", ErrRefused, e.Module, e.Err)
	if e.Advice != "" {
		text += ": " + e.Advice
	}
	if len(e.Log) > 0 {
		text += "; its log says: " + strings.Join(e.Log, "; ")
	}
	return text
}

func (e *RefusedError) Unwrap() []error { return []error{ErrRefused, e.Err} }

// BusyError says which tasks kept a patch from being switched in time.
type BusyError struct {
	Module string
	Tasks  []Task
	// Reversed says that the kernel is what it was; else it still tries.
	Reversed bool
}

func (e *BusyError) Error() string {
	var names []string
	for i, t := range e.Tasks {
		if i == mostTasks {
			names = append(names, fmt.Sprintf("and %d more", len(e.Tasks)-i))
			break
		}
		names = append(names, t.String())
	}
	text := e.Module + ": not all tasks could be switched in time"
	if len(names) > 0 {
		text = fmt.Sprintf("%s: tasks are in code that is being replaced: %s", e.Module, strings.Join(names, ", "))
	}
	if !e.Reversed {
		text += "; it could not be reversed yet: the kernel goes on trying"
	}
	return text
}

// mostTasks is how many tasks an error names.
const mostTasks = 5
