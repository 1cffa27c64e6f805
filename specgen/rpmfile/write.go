package rpmfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// makeDir makes a directory and its parents. A parent that is there must be a
// directory, not a link to one: nothing is written through links.
func (x *extraction) makeDir(name string) error {
	if name == "." {
		return nil
	}
	if err := x.makeDir(path.Dir(name)); err != nil {
		return err
	}
	info, err := x.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return x.root.Mkdir(name, 0o755)
	}
	if err == nil && !info.IsDir() {
		return fmt.Errorf("%w (%q is not a directory)", ErrUnsafe, name)
	}
	return err
}

// clear makes the parent of name and refuses a name that is taken.
func (x *extraction) clear(name string) error {
	if err := x.makeDir(path.Dir(name)); err != nil {
		return err
	}
	if _, err := x.root.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("%w (%q comes twice)", ErrUnsafe, name)
		}
		return err
	}
	return nil
}

// create writes one regular file. The owner can always read and write it, no
// one else can write it, and no mode but permissions is kept.
func (x *extraction) create(e Entry, content io.Reader, mtime time.Time) error {
	if err := x.clear(e.Name); err != nil {
		return err
	}
	perm := e.Mode.Perm()&^0o022 | 0o600
	f, err := x.root.OpenFile(e.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, content)
	if err == nil && n != e.Size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = f.Chmod(perm)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil && !mtime.IsZero() {
		err = x.root.Chtimes(e.Name, mtime, mtime)
	}
	return err
}

// symlink makes a link whose target stays in the destination. ".." may only
// lead the target: past another name, which could be a link itself, it leads
// nobody knows where.
func (x *extraction) symlink(e Entry) error {
	depth := strings.Count(e.Name, "/")
	ups, named := 0, false
	for part := range strings.SplitSeq(e.Link, "/") {
		switch part {
		case "", ".":
		case "..":
			if named {
				ups = depth + 1
			}
			ups++
		default:
			named = true
		}
	}
	if e.Link == "" || path.IsAbs(e.Link) || ups > depth || strings.ContainsRune(e.Link, 0) {
		return fmt.Errorf("%w (link %q to %q)", ErrUnsafe, e.Name, e.Link)
	}
	if err := x.clear(e.Name); err != nil {
		return err
	}
	return x.root.Symlink(e.Link, e.Name)
}
