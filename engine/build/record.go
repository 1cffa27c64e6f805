package build

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/openeuler/syscare/engine/build/front"
)

// Options say where a build is recorded.
type Options struct {
	WorkDir string // the recording is made in a directory below it
	Front   string // path of the syscare-cc program
}

// Record runs a build behind the compiler front. The function gets the
// environment that the build's commands must be given.
func Record(ctx context.Context, opt Options, run func(ctx context.Context, env []string) error) (*Recording, error) {
	log, err := runRecorded(ctx, opt, run)
	if err != nil {
		return nil, err
	}
	return readRecording(log)
}

// runRecorded runs a build behind the front and gives the path of the log.
func runRecorded(ctx context.Context, opt Options, run func(ctx context.Context, env []string) error) (log string, err error) {
	work, err := filepath.Abs(opt.WorkDir)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(work, " \t\n:") {
		return "", fmt.Errorf("work directory %q: compilers cannot be given paths with blanks or colons; use another directory", work)
	}
	bin := filepath.Join(work, "front")
	log = filepath.Join(work, "record", "log")
	if err := front.Prepare(log); err != nil {
		return "", fmt.Errorf("cannot prepare the recording: %w", err)
	}
	if err := makeFront(bin, opt.Front); err != nil {
		return "", err
	}
	env := frontEnvironment(os.Environ(), bin, log)
	if err := run(ctx, env); err != nil {
		return "", fmt.Errorf("recorded build: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return "", context.Cause(ctx)
	}
	return log, nil
}

// OpenRecording reads what Record left below a work directory. The source tree
// must be where it was, as the build left it.
func OpenRecording(workDir string) (*Recording, error) {
	work, err := filepath.Abs(workDir)
	if err != nil {
		return nil, err
	}
	return readRecording(filepath.Join(work, "record", "log"))
}

// makeFront makes a directory with links to the front for every tool that the
// machine has.
func makeFront(dir, program string) error {
	program, err := filepath.Abs(program)
	if err != nil {
		return err
	}
	if info, err := os.Stat(program); err != nil || info.IsDir() {
		return fmt.Errorf("the compiler front %s cannot be used (%v): reinstall SysCare", program, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	count := 0
	for _, path := range filepath.SplitList(os.Getenv("PATH")) {
		entries, err := os.ReadDir(path)
		if err != nil {
			continue // PATH often names directories that do not exist
		}
		for _, e := range entries {
			if !front.IsTool(e.Name()) {
				continue
			}
			info, err := os.Stat(filepath.Join(path, e.Name()))
			if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
				continue
			}
			err = os.Symlink(program, filepath.Join(dir, e.Name()))
			if err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
			count++
		}
	}
	if count == 0 {
		return errors.New("there is no compiler in PATH: install the build dependencies of the package")
	}
	return nil
}

// frontEnvironment puts the front before everything else and keeps compiler
// caches from answering in the compiler's place.
func frontEnvironment(env []string, bin, log string) []string {
	out := []string{front.LogVariable + "=" + log, "CCACHE_DISABLE=1", "SCCACHE_RECACHE=1"}
	path := bin
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		switch name {
		case "PATH":
			path += string(filepath.ListSeparator) + value
		case front.LogVariable, "CCACHE_DISABLE", "SCCACHE_RECACHE", "SUNPRO_DEPENDENCIES", "DEPENDENCIES_OUTPUT":
		default:
			out = append(out, e)
		}
	}
	return append(out, "PATH="+path)
}

// readRecording reads the log. A record with an error, or a line that is no
// record, makes the recording incomplete.
func readRecording(log string) (*Recording, error) {
	if reason, err := os.ReadFile(log + front.BrokenSuffix); err == nil {
		return nil, &IncompleteError{Command: strings.TrimSpace(string(reason)), Reason: "the log could not be written; is the disk full?"}
	}
	f, err := os.Open(log)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &IncompleteError{Command: "the build", Reason: "it called no compiler through PATH; let it find the compiler there (CC=gcc)"}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := newRecording(log)
	return r, r.readFrom(f)
}

// read adds what the log says.
func (r *Recording) read(log string) error {
	f, err := os.Open(log)
	if err != nil {
		return err
	}
	defer f.Close()
	return r.readFrom(f)
}

func (r *Recording) readFrom(f *os.File) error {
	log := r.log
	lines := bufio.NewReaderSize(f, 1<<16)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break
		}
		if err != nil {
			return &IncompleteError{Command: log, Reason: "the last record is cut off: " + err.Error()}
		}
		var record front.Record
		if err := json.Unmarshal(line, &record); err != nil {
			return &IncompleteError{Command: log, Reason: err.Error()}
		}
		if err := r.add(&record); err != nil {
			return err
		}
	}
	return r.resolve()
}
