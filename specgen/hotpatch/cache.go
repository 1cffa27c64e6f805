package hotpatch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/specgen"
	"github.com/openeuler/syscare/specgen/rpmfile"
)

// A recorded build is kept, so that the next patch of the same source package needs
// none: the source tree as the build left it and what the compiler front recorded,
// in a directory that is named by all that has made it. One build at a time uses it.

const (
	// cacheLimit bounds all recorded builds together, bytes.
	cacheLimit = 20 << 30
	// cacheRoom is what must be free for a build to be made where it is kept, bytes, and
	// kernelRoom for the sources of a kernel to be prepared there.
	cacheRoom, kernelRoom = 2 << 30, 6 << 30
	// In an entry: what its tree depends on; it is written when all is there.
	cacheManifest = "complete.json"
	// In an entry: somebody works in it. Left over, it says that the tree may not be
	// what the build left.
	cacheBusy = "in-use"
)

// entry is the place of one recorded build, locked.
type entry struct {
	dir  string
	lock *os.File
}

// cacheHome is where recorded builds are.
func cacheHome() (string, error) {
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "syscare", "builds"), err
}

// openEntry takes the entry of a source package, and of more files, for which there have
// to be room bytes. It returns nil if there can be none
// now, for the reason that is returned with it: somebody else uses it, or there is no
// place for it. Then the build does without.
func openEntry(source *rpmfile.Package, tool string, room uint64, more ...string) (*entry, error) {
	home, err := cacheHome()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(home, &disk); err != nil {
		return nil, err
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < room {
		return nil, fmt.Errorf("%s: %d MB are free, less than %d", home, free>>20, room>>20)
	}
	if strings.ContainsAny(home, " \t\n:") {
		return nil, fmt.Errorf("%s: compilers cannot be given paths with blanks or colons", home)
	}
	key, err := cacheKey(tool, append([]string{source.Path}, more...))
	if err != nil {
		return nil, err
	}
	e := &entry{dir: filepath.Join(home, key)}
	if e.lock, err = lockEntry(e.dir); err != nil {
		return nil, err
	}
	if !e.usable() {
		if err := os.RemoveAll(e.dir); err != nil {
			return nil, errors.Join(err, e.lock.Close())
		}
	}
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return nil, errors.Join(err, e.lock.Close())
	}
	return e, os.WriteFile(filepath.Join(e.dir, cacheBusy), nil, 0o600)
}

// lockEntry takes the lock of an entry without waiting. The kernel drops it with its
// holder, and with all commands that the holder has started: they inherit it, since they
// may go on in the entry when their parent is killed.
func lockEntry(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another build uses %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// cacheKey names what a recorded build is made of: files of packages, the tools,
// what steers them, and us.
func cacheKey(tool string, files []string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "1 %s\n", tool)
	for _, path := range files {
		digest, err := fileDigest(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s\n", digest)
	}
	for _, name := range []string{"PATH", "CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "LD_LIBRARY_PATH", "SOURCE_DATE_EPOCH"} {
		fmt.Fprintf(h, "%s=%q\n", name, os.Getenv(name))
	}
	for _, name := range []string{"gcc", "g++", "clang", "clang++", "cc", "c++", "ld", "as", "make", "rpmbuild"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		m, err := markOf(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d %s\n", m.Path, m.Size, m.ModTime)
	}
	macros, err := exec.Command("rpm", "--eval", "%{optflags} %{?build_ldflags} %{?_hardening_cflags} %{?dist} %{_arch}").Output()
	if err != nil {
		return "", fmt.Errorf("rpm --eval: %w", err)
	}
	h.Write(macros)
	return hex.EncodeToString(h.Sum(nil))[:32], nil
}

// usable reports whether the entry has a whole build whose surroundings are what
// they were.
func (e *entry) usable() bool {
	if _, err := os.Stat(filepath.Join(e.dir, cacheBusy)); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	m, err := e.manifest()
	return err == nil && m.holds()
}

func (e *entry) manifest() (manifest, error) {
	var m manifest
	data, err := os.ReadFile(filepath.Join(e.dir, cacheManifest))
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	return m, err
}

// open gives the recorded build; ok is false if there is none yet.
func (e *entry) open() (tree *specgen.Tree, recording *build.Recording, ok bool, err error) {
	if tree, ok, err = e.openTree(); !ok || err != nil {
		return nil, nil, false, err
	}
	recording, err = build.OpenRecording(e.dir)
	return tree, recording, err == nil, err
}

// openTree gives the source tree alone.
func (e *entry) openTree() (tree *specgen.Tree, ok bool, err error) {
	m, err := e.manifest()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return specgen.OpenTree(filepath.Join(e.dir, "topdir"), m.Spec, m.Subdir), true, nil
}

// complete says that the entry has all of the build.
func (e *entry) complete(tree *specgen.Tree, units []*build.Unit) error {
	m := manifest{Spec: filepath.Base(tree.Spec), Subdir: tree.Subdir()}
	if err := m.mark(e.dir, units); err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	temporary := filepath.Join(e.dir, cacheManifest+".new")
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(e.dir, cacheManifest))
}

// close gives the entry back: as it was if good is true, else gone. Then it makes
// room.
func (e *entry) close(good bool) error {
	var err error
	if _, missing := e.manifest(); good && missing == nil {
		now := time.Now()
		err = errors.Join(os.Remove(filepath.Join(e.dir, cacheBusy)), os.Chtimes(filepath.Join(e.dir, cacheManifest), now, now))
	} else {
		err = os.RemoveAll(e.dir)
	}
	err = errors.Join(err, e.lock.Close())
	return errors.Join(err, trim(filepath.Dir(e.dir), cacheLimit))
}

// trim takes away the entries that have not been used for the longest time until the
// others fit into limit bytes. Those in use stay.
func trim(home string, limit int64) error {
	found, err := filepath.Glob(filepath.Join(home, "*", cacheManifest))
	if err != nil {
		return err
	}
	type kept struct {
		dir  string
		used time.Time
		size int64
	}
	var all []kept
	var total int64
	for _, path := range found {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		k := kept{filepath.Dir(path), info.ModTime(), diskUse(filepath.Dir(path))}
		total += k.size
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b kept) int { return a.used.Compare(b.used) })
	var errs []error
	for _, k := range all {
		if total <= limit {
			break
		}
		lock, err := lockEntry(k.dir)
		if err != nil {
			continue
		}
		errs = append(errs, os.RemoveAll(k.dir), lock.Close())
		total -= k.size
	}
	return errors.Join(errs...)
}

// diskUse is the size of a directory with all that is in it, bytes.
func diskUse(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it goes away meanwhile
		}
		if info, err := d.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total
}
