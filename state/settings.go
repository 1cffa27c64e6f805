package state

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/openeuler/syscare/engine/object"
)

// Settings are what an administrator can say; see package config for the words.
type Settings struct {
	Blocked  []string      // target packages whose patches are never brought in
	Skipped  []string      // executables whose processes stay as they are
	Timeout  time.Duration // for busy code, per process, where a move has none; 0: the engine's default
	Parallel int           // processes changed at once. Default 8.
}

// Configure makes other settings those of the calls that follow.
func (m *Manager) Configure(s Settings) {
	s.Parallel = cmp.Or(s.Parallel, 8)
	m.settings.Store(&s)
}

// Skips reports whether processes of an executable stay as they are.
func (m *Manager) Skips(executable string) bool {
	return executable != "" && slices.Contains(m.settings.Load().Skipped, executable)
}

// processes lists those that map the file with this build ID, but for those
// that stay as they are.
func (m *Manager) processes(ctx context.Context, id object.BuildID) ([]Process, error) {
	found, err := m.engine.Find(ctx, id)
	return slices.DeleteFunc(found, func(p Process) bool { return m.Skips(p.Executable) }), err
}

// checkBlocked refuses a patch of a package that is blocked.
func (v *view) checkBlocked(p *Installed) error {
	if name := p.Meta.Target.Name; slices.Contains(v.m.settings.Load().Blocked, name) {
		return fmt.Errorf("%s: %w: patches of %s are blocked by /etc/syscare/syscare.toml", v.nameOf(p), ErrBlocked, name)
	}
	return nil
}
