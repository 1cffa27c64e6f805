package state

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/openeuler/syscare/engine/patchobject"
	"github.com/openeuler/syscare/state/metadata"
)

const patchesDir = "usr/lib/syscare/patches"

// Installed is a patch directory. Meta is nil if patch.json could not be
// accepted; Problem is nil if every file of the patch can be.
type Installed struct {
	UUID    string
	Dir     string
	Meta    *metadata.Patch
	Problem error
}

// FullName is the patch's full name, or its UUID if its metadata is unknown.
func (p *Installed) FullName() string {
	if p.Meta == nil {
		return p.UUID
	}
	return p.Meta.FullName()
}

// readInstalled reads all patch directories under root, sorted by name. A
// patch that cannot be accepted is in the list, with its Problem.
func readInstalled(root string) ([]*Installed, error) {
	parent, err := openTrustedDir(filepath.Join(root, filepath.Dir(patchesDir)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer parent.close()
	dir, err := parent.dir(filepath.Base(patchesDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.close()
	names, err := dir.names()
	if err != nil {
		return nil, err
	}
	// Other names are not patches: rpm's temporary files, an editor's copy.
	names = slices.DeleteFunc(names, func(name string) bool {
		id, err := uuid.Parse(name)
		return err != nil || id.String() != name
	})
	all := make([]*Installed, len(names))
	var group errgroup.Group
	workers := runtime.GOMAXPROCS(0) // the work is the kernel's
	for w := range workers {
		group.Go(func() error {
			for i := w; i < len(names); i += workers {
				all[i] = readPatch(dir, names[i])
			}
			return nil
		})
	}
	_ = group.Wait() // each patch has its own problem
	slices.SortFunc(all, func(a, b *Installed) int {
		if c := strings.Compare(a.FullName(), b.FullName()); c != 0 {
			return c
		}
		return strings.Compare(a.UUID, b.UUID)
	})
	return all, nil
}

func readPatch(parent *trustedDir, id string) *Installed {
	p := &Installed{UUID: id, Dir: filepath.Join(parent.path, id)}
	dir, err := parent.dir(id)
	if err != nil {
		p.Problem = err
		return p
	}
	defer dir.close()
	data, err := dir.read(metadata.FileName, metadata.MaxSize)
	if err != nil {
		p.Problem = err
		return p
	}
	meta, err := metadata.Parse(data)
	if err != nil {
		p.Problem = fmt.Errorf("%w: %s: %w", ErrCorrupt, filepath.Join(p.Dir, metadata.FileName), err)
		return p
	}
	if meta.UUID != id {
		p.Problem = fmt.Errorf("%w: the patch in %s calls itself %s", ErrCorrupt, p.Dir, meta.UUID)
		return p
	}
	p.Meta = meta
	for _, e := range meta.Entities {
		if _, err := readEntity(dir, e); err != nil {
			p.Problem = err
			return p
		}
	}
	return p
}

// readEntity returns the bytes of an entity's patch object once their digest
// is the one that the metadata gives.
func readEntity(dir *trustedDir, e metadata.Entity) ([]byte, error) {
	data, err := dir.read(e.File, patchobject.MaxSize)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != e.Digest {
		return nil, fmt.Errorf("%w: %s does not match its digest; reinstall the patch package", ErrCorrupt, filepath.Join(dir.path, e.File))
	}
	return data, nil
}

// load reads the patch objects of p. What was checked is what is returned:
// each file is read once.
func (p *Installed) load() ([]Entity, error) {
	if p.Problem != nil {
		return nil, p.Problem
	}
	dir, err := openTrustedDir(p.Dir)
	if err != nil {
		return nil, err
	}
	defer dir.close()
	var out []Entity
	for _, e := range p.Meta.Entities {
		data, err := readEntity(dir, e)
		if err != nil {
			return nil, err
		}
		if p.Meta.Type == metadata.KernelPatch {
			out = append(out, Entity{UUID: e.UUID, BuildID: e.BuildID, Module: data})
			continue
		}
		obj, err := patchobject.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, filepath.Join(p.Dir, e.File), err)
		}
		if obj.Info.UUID != e.UUID || obj.Info.TargetID != e.BuildID {
			return nil, fmt.Errorf("%w: %s is the object of another entity or target", ErrCorrupt, filepath.Join(p.Dir, e.File))
		}
		out = append(out, Entity{UUID: e.UUID, BuildID: e.BuildID, Object: obj})
	}
	return out, nil
}
