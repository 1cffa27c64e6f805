// Package config reads /etc/syscare/syscare.toml, which an administrator writes.
// SysCare never does.
//
// It may import nothing of SysCare.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// Path is where the file is, under the root directory.
const Path = "etc/syscare/syscare.toml"

// maxSize bounds the file, bytes.
const maxSize = 1 << 20

// Config is what the file can say. The zero values of a missing file are those of
// Default.
type Config struct {
	// Blocked are target packages, by name, whose patches are never brought in.
	Blocked []string `toml:"blocked"`
	// Skipped are executables, by absolute path, whose processes stay as they are.
	Skipped []string `toml:"skipped"`
	// Probation is how long after its activation a patch is blamed for crashes.
	Probation Duration `toml:"probation"`
	// Timeout is how long busy code is waited for, for each process.
	Timeout Duration `toml:"timeout"`
	// Parallel is how many processes are changed at once.
	Parallel int `toml:"parallel"`
	// Idle is how long the service stays with nothing to do; 0: for ever.
	Idle Duration `toml:"idle"`
	// OnInstall is what becomes of a patch whose package is installed: "manual" (it
	// is registered), "apply" or "accept".
	OnInstall string `toml:"on_install"`
}

// Duration is a time, written as in "1m30s".
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err == nil && v < 0 {
		err = errors.New("a time cannot be negative")
	}
	*d = Duration(v)
	return err
}

// Default is what is so without a file.
func Default() Config {
	return Config{Probation: Duration(time.Minute), Timeout: Duration(5 * time.Second), Parallel: 8, Idle: Duration(time.Minute), OnInstall: "manual"}
}

// Load reads the file under root. A key that is not known, or a value that makes
// no sense, is an error that names the line.
func Load(root string) (Config, error) {
	c := Default()
	path := filepath.Join(root, Path)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	defer f.Close()
	if err := trusted(f); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err == nil && len(data) > maxSize {
		err = fmt.Errorf("has more than %d bytes", maxSize)
	}
	if err == nil {
		c, err = Parse(data)
	}
	if err != nil {
		return Default(), fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// trusted refuses a file that others than its owner can write, or that belongs to
// somebody else than root or us.
func trusted(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular() || !ok:
		return errors.New("is not a regular file")
	case st.Uid != 0 && st.Uid != uint32(os.Geteuid()):
		return fmt.Errorf("belongs to user %d; `chown root` it", st.Uid)
	case info.Mode().Perm()&0o022 != 0:
		return errors.New("can be written by others; `chmod go-w` it")
	}
	return nil
}

// Parse reads the text of a file.
func Parse(data []byte) (Config, error) {
	c := Default()
	err := toml.NewDecoder(strings.NewReader(string(data))).DisallowUnknownFields().Decode(&c)
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		var errs []error
		for _, e := range unknown.Errors {
			row, _ := e.Position()
			errs = append(errs, fmt.Errorf("line %d: there is no key %q", row, strings.Join(e.Key(), ".")))
		}
		return Default(), errors.Join(errs...)
	case errors.As(err, &wrong):
		row, column := wrong.Position()
		return Default(), fmt.Errorf("line %d, column %d: %s", row, column, strings.TrimPrefix(wrong.Error(), "toml: "))
	case err != nil:
		return Default(), err
	}
	if err := c.check(); err != nil {
		return Default(), err
	}
	return c, nil
}

func (c Config) check() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: "+format, append([]any{key}, args...)...))
	}
	if c.Parallel < 1 || c.Parallel > 1024 {
		bad("parallel", "%d is not between 1 and 1024", c.Parallel)
	}
	if c.Timeout == 0 || c.Timeout > Duration(10*time.Minute) {
		bad("timeout", "%v is not between 0 and 10 minutes", time.Duration(c.Timeout))
	}
	if c.Probation == 0 {
		bad("probation", "want a time above zero")
	}
	if !slices.Contains([]string{"manual", "apply", "accept"}, c.OnInstall) {
		bad("on_install", "%q is none of manual, apply and accept", c.OnInstall)
	}
	if slices.Contains(c.Blocked, "") {
		bad("blocked", "a package without a name")
	}
	for _, path := range c.Skipped {
		if !filepath.IsAbs(path) {
			bad("skipped", "%q is no absolute path", path)
		}
	}
	return errors.Join(errs...)
}
