package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openeuler/syscare/engine/object"
)

// State is what a patch is in the kernel.
type State int

const (
	// Absent: its module is not loaded.
	Absent State = iota
	// Disabled: the module is loaded, and no task runs its code.
	Disabled
	// Enabled: all tasks run its code.
	Enabled
	// Moving: some tasks run its code and some the old one.
	Moving
)

func (s State) String() string {
	return [...]string{"absent", "disabled", "enabled", "in transition"}[s]
}

const (
	patchesDir = "/sys/kernel/livepatch"
	modulesDir = "/sys/module"
	// pollTime is how often a transition is looked at. The kernel itself does every
	// second, and each time a task leaves it.
	pollTime = 20 * time.Millisecond
	// reverseTime is what a way back may take.
	reverseTime = time.Minute
)

// Options say how long a change may take.
type Options struct {
	Timeout time.Duration // 0: a minute
	// Replace lets a module take the place of all other live patches in one transition,
	// if it can: see Module.Replaces.
	Replace bool
	// Progress is told how many tasks are still to be moved; may be nil.
	Progress func(left int)
}

func (o Options) timeout() time.Duration {
	if o.Timeout > 0 {
		return o.Timeout
	}
	return time.Minute
}

// StateOf reads what the patch of a module is.
func StateOf(name string) (State, error) {
	if !moduleName.MatchString(name) {
		return Absent, fmt.Errorf("module %q: %w", name, ErrNotLivepatch)
	}
	enabled, err := os.ReadFile(filepath.Join(patchesDir, name, "enabled"))
	if gone(err) {
		if _, err := os.Stat(patchesDir); err != nil {
			return Absent, ErrUnsupported
		}
		if _, err := os.Stat(filepath.Join(modulesDir, name, "refcnt")); err == nil {
			return Disabled, nil // the patch is gone from /sys, the module is not
		}
		return Absent, nil
	}
	if err != nil {
		return Absent, err
	}
	moving, err := os.ReadFile(filepath.Join(patchesDir, name, "transition"))
	switch {
	case gone(err):
		return Disabled, nil
	case err != nil:
		return Absent, err
	case strings.TrimSpace(string(moving)) == "1":
		return Moving, nil
	case strings.TrimSpace(string(enabled)) == "1":
		return Enabled, nil
	}
	return Disabled, nil
}

// gone reports whether err says that a patch is not in /sys, or went while it was looked at.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) }

// Enable loads the module and waits until all tasks run its code. If that takes too long
// or ctx ends, the kernel is taken back to what it was.
func Enable(ctx context.Context, m *Module, o Options) error {
	release, err := Running()
	if err != nil {
		return err
	}
	if m.Release != release {
		return fmt.Errorf("%s: %w: for %s, and %s runs here", m.Name, ErrOtherKernel, m.Release, release)
	}
	state, err := StateOf(m.Name)
	if err != nil {
		return err
	}
	switch state {
	case Enabled:
		return nil
	case Disabled: // a patch that was disabled cannot be enabled again, only loaded anew
		if err := unload(ctx, m.Name); err != nil {
			return err
		}
		fallthrough
	case Absent:
		if err := load(m, o.Replace); err != nil {
			return err
		}
	case Moving:
		if err := set(m.Name, true); err != nil && !errors.Is(err, unix.EINVAL) { // it is on its way
			return err
		}
	}
	return settle(ctx, m.Name, true, o)
}

// Remove disables a patch and unloads its module.
func Remove(ctx context.Context, name string, o Options) error {
	if err := Disable(ctx, name, o); err != nil {
		return err
	}
	return unload(ctx, name)
}

// Disable waits until no task runs the patch's code; its module stays loaded. If that
// takes too long or ctx ends, the patch is enabled as before.
func Disable(ctx context.Context, name string, o Options) error {
	state, err := StateOf(name)
	if err != nil {
		return err
	}
	if state == Absent || state == Disabled {
		return nil
	}
	if err := set(name, false); err != nil && !errors.Is(err, unix.EINVAL) && !gone(err) { // it is on its way, or there
		return fmt.Errorf("disable %s: %w", name, err)
	}
	return settle(ctx, name, false, o)
}

// settle waits for the end of a transition, and reverses one that takes too long.
func settle(ctx context.Context, name string, enable bool, o Options) error {
	limited, cancel := context.WithTimeoutCause(ctx, o.timeout(), errLate)
	defer cancel()
	err := wait(limited, name, enable, o.Progress)
	if err == nil || !errors.Is(err, errLate) && ctx.Err() == nil {
		return err
	}
	busy := &BusyError{Module: name, Tasks: waiting(enable)}
	if err := set(name, !enable); err != nil {
		if is, stateErr := StateOf(name); stateErr == nil && (is == Enabled) == enable && is != Moving {
			return nil // it has come to its end after all
		}
		return errors.Join(busy, fmt.Errorf("reverse %s: %w", name, err))
	}
	back, cancelBack := context.WithTimeoutCause(context.WithoutCancel(ctx), reverseTime, errLate)
	defer cancelBack()
	if err := wait(back, name, !enable, nil); err == nil {
		busy.Reversed = true
		if enable {
			err = unload(back, name)
		}
		if err != nil {
			return errors.Join(busy, err)
		}
	}
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), busy)
	}
	return busy
}

var errLate = errors.New("it takes too long")

// wait waits for the end of a transition.
func wait(ctx context.Context, name string, enable bool, progress func(int)) error {
	var last time.Time
	for {
		state, err := StateOf(name)
		if err != nil {
			return err
		}
		if enable && state == Enabled || !enable && (state == Disabled || state == Absent) {
			return nil
		}
		if enable && state != Moving {
			return fmt.Errorf("%s: somebody else has made it %s", name, state)
		}
		if progress != nil && time.Since(last) > time.Second {
			last = time.Now()
			progress(len(waiting(enable)))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pollTime):
		}
	}
}

// set asks the kernel to enable or disable a patch, or to go the other way.
func set(name string, enable bool) error {
	value := "0"
	if enable {
		value = "1"
	}
	return os.WriteFile(filepath.Join(patchesDir, name, "enabled"), []byte(value), 0)
}

// load gives the module to the kernel, which begins to enable it.
func load(m *Module, replace bool) error {
	log := openLog()
	defer log.close()
	parameters := ""
	if replace && m.Replaces {
		parameters = replaceParameter + "=1"
	}
	if err := unix.InitModule(m.data, parameters); err != nil {
		return &RefusedError{Module: m.Name, Err: err, Advice: advice(err, m), Log: log.about(m.Name)}
	}
	return nil
}

// advice says what an error of init_module means.
func advice(err error, m *Module) string {
	switch {
	case errors.Is(err, unix.ENOKEY), errors.Is(err, unix.EKEYREJECTED), errors.Is(err, unix.EKEYEXPIRED), errors.Is(err, unix.EKEYREVOKED):
		if m.Signed {
			return "this kernel does not know the key that the module is signed with: enrol it (mokutil --import)"
		}
		return "this kernel takes signed modules only: sign it with a key that it knows"
	case errors.Is(err, unix.EPERM):
		return "loading modules is not allowed here: lockdown, kernel.modules_disabled, or missing CAP_SYS_MODULE"
	case errors.Is(err, unix.ENOEXEC):
		return "it was made for a kernel of another configuration"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return "a function that it replaces or refers to is not there, or is replaced by a patch that does not go with it"
	case errors.Is(err, unix.ENODEV):
		return "live patching is switched off"
	}
	return ""
}

// unload takes a disabled module away. For a moment after the transition tasks may still
// be in its code on the way out: the kernel waits for them before the patch is gone.
func unload(ctx context.Context, name string) error {
	for {
		err := unix.DeleteModule(name, unix.O_NONBLOCK)
		switch {
		case err == nil || errors.Is(err, unix.ENOENT):
			return nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EBUSY):
			return fmt.Errorf("unload module %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("unload module %s: %w", name, errors.Join(err, context.Cause(ctx)))
		case <-time.After(pollTime):
		}
	}
}

// Patches are the modules of all live patches that the kernel has, ours and others.
func Patches() (names []string, err error) {
	entries, err := os.ReadDir(patchesDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// List gives the state of each livepatch module whose name begins so.
func List(prefix string) (map[string]State, error) {
	found := map[string]State{}
	for _, dir := range []string{patchesDir, modulesDir} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), prefix) || !moduleName.MatchString(e.Name()) {
				continue
			}
			state, err := StateOf(e.Name())
			if err != nil {
				return nil, err
			}
			if state != Absent {
				found[e.Name()] = state
			}
		}
	}
	return found, nil
}

// BuildID is that of the kernel that runs.
func BuildID() (object.BuildID, error) {
	notes, err := os.ReadFile("/sys/kernel/notes")
	if err != nil {
		return "", err
	}
	return object.BuildIDInNotes(notes, 4), nil
}

// Running is the release of the kernel that runs.
func Running() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", err
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}
