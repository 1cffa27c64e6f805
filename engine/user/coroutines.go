package user

import (
	"errors"
	"slices"
	"sync"

	"github.com/openeuler/syscare/engine/object"
)

// ErrCoroutines says that a program switches between stacks by itself. What is
// in progress on those that no thread runs at the moment cannot be seen, so that
// nobody can say that a function is not in use. Options.Force leaves that to the
// user: old calls then come to their end in old code.
var ErrCoroutines = errors.New("the program switches stacks by itself (makecontext): calls in progress on the others cannot be seen")

// switches are functions of C libraries that switch stacks.
var switches = []string{"makecontext", "swapcontext", "setcontext"}

// switching remembers which files use them.
var switching = struct {
	sync.Mutex
	files map[object.BuildID]bool
}{files: map[object.BuildID]bool{}}

const maxSwitching = 4096

// checkCoroutines refuses a program that uses them, or whose target does.
func (l *loader) checkCoroutines(all []image) error {
	if l.opts.Force {
		return nil
	}
	for _, img := range all {
		if img.buildID != l.target.buildID && img.bias+img.entry != l.entry.at {
			continue
		}
		switches, err := switchesStacks(l.proc, img)
		if err != nil {
			return err
		}
		if switches {
			return ErrCoroutines
		}
	}
	return nil
}

func switchesStacks(p Process, img image) (bool, error) {
	switching.Lock()
	known, ok := switching.files[img.buildID]
	switching.Unlock()
	if ok && img.buildID != "" {
		return known, nil
	}
	f, err := object.Open(img.path(p))
	if err != nil {
		return false, err
	}
	uses := slices.ContainsFunc(f.Dynamic, func(s *object.Symbol) bool { return !s.Defined() && slices.Contains(switches, s.Name) })
	if err := f.Close(); err != nil {
		return false, err
	}
	switching.Lock()
	defer switching.Unlock()
	if len(switching.files) >= maxSwitching {
		clear(switching.files)
	}
	switching.files[img.buildID] = uses
	return uses, nil
}
