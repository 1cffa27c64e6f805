package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/openeuler/syscare/engine/object"
)

const (
	storeDir     = "var/lib/syscare"
	storeName    = "state.json"
	storeSchema  = 1
	storeMaxSize = 16 << 20
)

// errNewer says that a newer SysCare wrote the store.
var errNewer = errors.New("written by a newer SysCare; update this one")

// record is what the store knows of one patch. Entities are kept here so that
// a patch can be taken out of processes when its directory is damaged or gone.
type record struct {
	Name     string         `json:"name"` // full name, for people
	Entities []recordEntity `json:"entities"`
	State    State          `json:"state"`
	BootID   string         `json:"boot_id"`         // of the boot in which State was entered
	Order    int            `json:"order"`           // of activation, 0 if never
	Saved    State          `json:"saved,omitempty"` // "" if never saved
	When     time.Time      `json:"when"`
	Who      string         `json:"who"`
	Pending  *pending       `json:"pending,omitempty"`
	// Suspended says why the patch was switched off after a crash; "" if not.
	Suspended string `json:"suspended,omitempty"`
	// Retired says why the patch came to its end without having been removed; "" if
	// it did not.
	Retired string `json:"retired,omitempty"`
}

type recordEntity struct {
	UUID    string         `json:"uuid"`
	Name    string         `json:"name"`
	BuildID object.BuildID `json:"build_id"`
}

// pending is the intent of a move that has not come to its end.
type pending struct {
	Verb   Verb      `json:"verb"`
	From   State     `json:"from"`
	To     State     `json:"to"`
	When   time.Time `json:"when"`
	BootID string    `json:"boot_id"`
	// Replaces is the UUID of the version whose place the patch takes, "" if none.
	Replaces string `json:"replaces,omitempty"`
}

// raises reports whether p brings code into processes that do not have it.
// Restoring a state reaches processes that started since, as apply does.
func (p pending) raises() bool {
	return p.Verb.raises() || p.To.presence() > p.From.presence() ||
		p.Verb == verbRestore && p.To.presence() == p.From.presence()
}

// storeFile is state.json.
type storeFile struct {
	Schema  int                `json:"schema"`
	Patches map[string]*record `json:"patches"` // by patch UUID
}

func newStore() *storeFile {
	return &storeFile{Schema: storeSchema, Patches: map[string]*record{}}
}

// parseStore reads state.json and refuses whatever write would not write.
func parseStore(data []byte) (*storeFile, error) {
	var version struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if version.Schema > storeSchema {
		return nil, fmt.Errorf("schema %d: %w", version.Schema, errNewer)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	s := new(storeFile)
	if err := dec.Decode(s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: data after its end", ErrCorrupt)
	}
	if s.Schema != storeSchema {
		return nil, fmt.Errorf("%w: schema %d", ErrCorrupt, s.Schema)
	}
	if s.Patches == nil {
		s.Patches = map[string]*record{}
	}
	for id, r := range s.Patches {
		if err := r.check(id); err != nil {
			return nil, fmt.Errorf("%w: patch %q: %w", ErrCorrupt, id, err)
		}
	}
	return s, nil
}

func (r *record) check(id string) error {
	if u, err := uuid.Parse(id); err != nil || u.String() != id {
		return errors.New("not a canonical UUID")
	}
	if r == nil || !r.State.valid() || r.Saved != "" && !r.Saved.valid() || r.Order < 0 {
		return errors.New("its state is not valid")
	}
	for _, e := range r.Entities {
		if u, err := uuid.Parse(e.UUID); err != nil || u.String() != e.UUID {
			return fmt.Errorf("entity %q: not a canonical UUID", e.UUID)
		}
		if b, err := object.ParseBuildID(string(e.BuildID)); err != nil || b != e.BuildID {
			return fmt.Errorf("entity %q: build ID is not valid", e.UUID)
		}
	}
	if p := r.Pending; p != nil && (!p.From.valid() && p.From != Unknown || !p.To.valid()) {
		return errors.New("its unfinished move is not valid")
	}
	return nil
}

// readStore reads the store under root. A missing one is empty; lost says why
// one that was there could not be used.
func readStore(root string) (s *storeFile, lost error, err error) {
	dir, err := openTrustedDir(filepath.Join(root, storeDir))
	if errors.Is(err, fs.ErrNotExist) {
		return newStore(), nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer dir.close()
	data, err := dir.read(storeName, storeMaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return newStore(), nil, nil
	}
	if err == nil {
		s, err = parseStore(data)
	}
	if err == nil {
		return s, nil, nil
	}
	err = fmt.Errorf("%s: %w", filepath.Join(root, storeDir, storeName), err)
	if errors.Is(err, ErrCorrupt) {
		return newStore(), err, nil
	}
	return nil, nil, err
}

// setAside renames a store that cannot be used, so that nothing is lost.
func setAside(root string, now time.Time) (string, error) {
	from := filepath.Join(root, storeDir, storeName)
	to := from + ".corrupt-" + now.UTC().Format("20060102T150405.000000000Z")
	return to, needRoot(os.Rename(from, to))
}

// write replaces the store: after a power cut at any instant there is either
// the old or the new one.
func (s *storeFile) write(root string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(root, storeDir)
	if err := makeDir(path); err != nil {
		return err
	}
	// The name is fixed: the lock is held, and a left-over is overwritten.
	temp := filepath.Join(path, storeName+".new")
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return needRoot(err)
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return needRoot(err)
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temp, filepath.Join(path, storeName))
	}
	if err == nil {
		err = syncDir(path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(path, storeName), err)
	}
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// nextOrder is the number of the next activation.
func (s *storeFile) nextOrder() int {
	n := 0
	for _, r := range s.Patches {
		n = max(n, r.Order)
	}
	return n + 1
}
