package hotpatch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openeuler/syscare/engine/build"
)

// manifest says what an entry was made of, beyond its name.
type manifest struct {
	Spec   string     `json:"spec"`
	Subdir string     `json:"subdir"`
	Uses   []fileMark `json:"uses"` // headers and tools outside
	// Trees are digests of the names, sizes and times below the directories where
	// headers are: builds often ask the compiler for those of their own only (-MMD).
	Trees map[string]string `json:"trees"`
}

// fileMark tells whether a file is still the same.
type fileMark struct {
	Path    string    `json:"path"`
	Size    int64     `json:"size"`
	ModTime time.Time `json:"mtime"`
}

func markOf(path string) (fileMark, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileMark{}, err
	}
	return fileMark{path, info.Size(), info.ModTime().UTC()}, nil
}

// headerTrees are where the compilers find headers that nobody names.
var headerTrees = []string{"/usr/include", "/usr/local/include", "/usr/lib/gcc"}

// mark notes what the units of a build use, apart from what is in its own directory.
func (m *manifest) mark(own string, units []*build.Unit) error {
	seen := map[string]bool{}
	for _, u := range units {
		for _, path := range slices.Concat(u.Deps, []string{u.Tool}) {
			if seen[path] || strings.HasPrefix(path, own+"/") || !filepath.IsAbs(path) {
				continue
			}
			seen[path] = true
			mark, err := markOf(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue // a file that the build made and took away
			}
			if err != nil {
				return err
			}
			m.Uses = append(m.Uses, mark)
		}
	}
	m.Trees = map[string]string{}
	for _, dir := range headerTrees {
		m.Trees[dir] = treeDigest(dir)
	}
	return nil
}

// holds reports whether everything is what it was.
func (m *manifest) holds() bool {
	for dir, was := range m.Trees {
		if treeDigest(dir) != was {
			return false
		}
	}
	return !slices.ContainsFunc(m.Uses, func(was fileMark) bool {
		is, err := markOf(was.Path)
		return err != nil || is.Size != was.Size || !is.ModTime.Equal(was.ModTime)
	})
}

// treeDigest tells whether any file below dir is another one.
func treeDigest(dir string) string {
	h := sha256.New()
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // one that is not there has nothing in it
		}
		if info, err := d.Info(); err == nil {
			fmt.Fprintf(h, "%s %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		}
		return nil
	})
	return hex.EncodeToString(h.Sum(nil))
}
