package front

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

// keyForm is the form of keys: what it is, and numbers in hexadecimal.
var keyForm = regexp.MustCompile(`^[a-z]+(-[0-9a-f]{1,64}){1,5}$`)

const (
	// LogVariable names the environment variable with the path of the log.
	// Without it the front runs the tool and records nothing.
	LogVariable = "SYSCARE_CC_LOG"
	// BrokenSuffix is added to the log's name for the file that says why the
	// log itself could not be written.
	BrokenSuffix = ".broken"
)

// Record is what one run of a tool did.
type Record struct {
	Kind   Kind     `json:"kind"`
	Name   string   `json:"name"` // as it was called: "gcc"
	Tool   string   `json:"tool"` // absolute path of the real tool
	Argv   []string `json:"argv"` // arguments, response files expanded
	Dir    string   `json:"dir"`
	Env    string   `json:"env"` // key of the environment, see Environment
	Exit   int      `json:"exit"`
	Output string   `json:"output"` // as the command names it
	Digest string   `json:"digest"` // of Output afterwards
	// Linked says that Output is an executable or a shared library; its
	// contents are kept, see Kept.
	Linked  bool     `json:"linked,omitempty"`
	Sources []Source `json:"sources,omitempty"`
	Inputs  []Input  `json:"inputs,omitempty"`
	Error   string   `json:"error,omitempty"` // why the record is incomplete
}

// Source is one source file of a command.
type Source struct {
	Path     string   `json:"path"` // as the command names it
	Language string   `json:"language"`
	Digest   string   `json:"digest,omitempty"`
	Output   string   `json:"output,omitempty"` // its object; "" inside a link
	Object   string   `json:"object,omitempty"` // digest of Output
	Deps     []string `json:"deps,omitempty"`   // as the compiler names them
	// DepsComplete says that Deps holds the system headers as well.
	DepsComplete bool `json:"deps_complete,omitempty"`
}

// Input is an object or an archive that was linked or transformed.
type Input struct {
	Path    string `json:"path"`
	Digest  string `json:"digest,omitempty"`  // of an object
	Archive string `json:"archive,omitempty"` // key of the members, see Members
}

// Member is one object in an archive. In a thin archive it is a file of its
// own, and Offset is 0.
type Member struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Offset int64  `json:"offset,omitempty"`
	Size   int64  `json:"size,omitempty"`
}

// Kept is where the contents of a linked file are kept.
func Kept(log, digest string) string { return filepath.Join(filepath.Dir(log), "linked", digest) }

// Members returns the members of an archive as they were when it was linked.
func Members(log, key string) ([]Member, error) {
	var members []Member
	return members, readKey(log, key, &members)
}

// Environment returns the environment of a recorded command.
func Environment(log, key string) ([]string, error) {
	var env []string
	return env, readKey(log, key, &env)
}

// Prepare makes the directories that the front writes to beside log.
func Prepare(log string) error {
	for _, name := range []string{"linked", "keys", "deps"} {
		if err := os.MkdirAll(filepath.Join(filepath.Dir(log), name), 0o700); err != nil {
			return err
		}
	}
	return nil
}

func keyPath(log, key string) string { return filepath.Join(filepath.Dir(log), "keys", key) }

func readKey(log, key string, value any) error {
	if !keyForm.MatchString(key) {
		return fmt.Errorf("%q is no key", key)
	}
	data, err := os.ReadFile(keyPath(log, key))
	if err != nil {
		return err
	}
	return json.Unmarshal(data, value)
}

// writeKey stores value under key; it may be written by several at once, all
// with the same contents.
func writeKey(log, key string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	temporary := fmt.Sprintf("%s.%d", keyPath(log, key), os.Getpid())
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, keyPath(log, key))
}

// write appends the record as one line.
func (r *Record) write(log string) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return err
}
