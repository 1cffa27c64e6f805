package hotpatch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/specgen"
)

// logName is the file in the working directory that has every command with
// its output.
const logName = "build.log"

// Error is a failed build whose log was kept.
type Error struct {
	Log string // path of build.log
	Err error
}

func (e *Error) Error() string   { return e.Err.Error() }
func (e *Error) Unwrap() error   { return e.Err }
func (e *Error) LogPath() string { return e.Log }

// workspace is the directory of one build.
type workspace struct {
	dir  string
	file *os.File  // build.log
	log  io.Writer // writes to it, and to whoever wants to see it meanwhile
	keep bool
}

func newWorkspace(parent string, keep bool, echo io.Writer) (*workspace, error) {
	dir, err := filepath.Abs(filepath.Join(parent, fmt.Sprintf("syscare-build.%d", os.Getpid())))
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the working directory: %w", err)
	}
	file, err := os.Create(filepath.Join(dir, logName))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	w := &workspace{dir: dir, file: file, log: file, keep: keep}
	if echo != nil {
		w.log = io.MultiWriter(file, echo)
	}
	for _, name := range []string{"package", "patch", "output"} {
		if err := os.Mkdir(w.path(name), 0o755); err != nil {
			return nil, errors.Join(err, w.remove())
		}
	}
	return w, nil
}

// path is a path in the working directory.
func (w *workspace) path(elements ...string) string {
	return filepath.Join(append([]string{w.dir}, elements...)...)
}

// close removes what need not stay after a build that ended with err, and
// gives the error to return.
func (w *workspace) close(err error, interrupted bool) error {
	closeErr := w.file.Close()
	if w.keep {
		return errors.Join(err, closeErr)
	}
	var command *specgen.CommandError
	var compile *build.CommandError
	if err == nil || interrupted || !errors.As(err, &command) && !errors.As(err, &compile) {
		return errors.Join(err, os.RemoveAll(w.dir))
	}
	entries, readErr := os.ReadDir(w.dir)
	for _, e := range entries {
		if e.Name() != logName {
			readErr = errors.Join(readErr, os.RemoveAll(w.path(e.Name())))
		}
	}
	return errors.Join(&Error{Log: w.path(logName), Err: err}, readErr)
}

func (w *workspace) remove() error {
	return errors.Join(w.file.Close(), os.RemoveAll(w.dir))
}
