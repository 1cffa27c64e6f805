package state

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/openeuler/syscare/state/metadata"
)

// DefaultLockWait is how long a changing call waits for another one.
const DefaultLockWait = 10 * time.Second

// Options configure a Manager.
type Options struct {
	// Root is put before the directories of patches, store and lock. It does
	// not change which processes are looked at. Default "/".
	Root string
	// Engine reaches the processes. It must be set.
	Engine Engine
	Logger *slog.Logger // default slog.Default()
	// LockWait is how long to wait for another command. Default
	// DefaultLockWait.
	LockWait time.Duration
	Settings
}

// Manager answers questions about the installed patches and moves them.
type Manager struct {
	root     string
	engine   Engine
	log      *slog.Logger
	lockWait time.Duration
	boot     string
	settings atomic.Pointer[Settings]
}

// New makes a Manager. It touches nothing.
func New(o Options) (*Manager, error) {
	if o.Engine == nil {
		return nil, errors.New("state.New: no engine")
	}
	m := &Manager{
		root: cmp.Or(o.Root, "/"), engine: o.Engine, log: cmp.Or(o.Logger, slog.Default()),
		lockWait: cmp.Or(o.LockWait, DefaultLockWait),
	}
	m.Configure(o.Settings)
	// Without /proc there are no processes, and all boots look the same.
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil {
		m.boot = strings.TrimSpace(string(id))
	}
	return m, nil
}

// Info gives the metadata of the patch that id names.
func (m *Manager) Info(_ context.Context, id string) (*metadata.Patch, error) {
	p, err := m.find(id)
	if err != nil {
		return nil, err
	}
	if p.Meta == nil {
		return nil, p.Problem
	}
	return p.Meta, nil
}

// Target gives the package that the patch id names is made for.
func (m *Manager) Target(ctx context.Context, id string) (metadata.Package, error) {
	meta, err := m.Info(ctx, id)
	if err != nil {
		return metadata.Package{}, err
	}
	return meta.Target, nil
}

// Installed lists the patches without a look at any process: for completion
// and package scripts.
func (m *Manager) Installed() ([]*Installed, error) { return readInstalled(m.root) }

func (m *Manager) find(id string) (*Installed, error) {
	all, err := readInstalled(m.root)
	if err != nil {
		return nil, err
	}
	return resolve(all, id)
}

// Identify gives the UUID of the patch that id names.
func (m *Manager) Identify(id string) (string, error) {
	v, err := m.look()
	if err != nil {
		return "", err
	}
	p, err := v.resolve(id)
	if err != nil {
		return "", err
	}
	return p.UUID, nil
}

// Resolve tells the first problem with any of the identifiers.
func (m *Manager) Resolve(_ context.Context, ids ...string) error {
	v, err := m.look()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := v.resolve(id); err != nil {
			return err
		}
	}
	return nil
}
