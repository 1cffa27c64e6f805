package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// trustedDir is an open directory that only root can change. Files are opened
// relative to it and checked after opening, so that nobody can swap one
// between the check and the use.
type trustedDir struct {
	f    *os.File
	path string
}

func openTrustedDir(path string) (*trustedDir, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	return newTrustedDir(fd, path, err)
}

// dir opens the directory name in d.
func (d *trustedDir) dir(name string) (*trustedDir, error) {
	fd, err := unix.Openat(int(d.f.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	return newTrustedDir(fd, filepath.Join(d.path, name), err)
}

func newTrustedDir(fd int, path string, err error) (*trustedDir, error) {
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return nil, fmt.Errorf("%w: %s is a link or no directory", ErrInsecure, path)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	d := &trustedDir{os.NewFile(uintptr(fd), path), path}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		d.close()
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if err := checkOwner(&st, path); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *trustedDir) close() { _ = d.f.Close() } // it was only read

// names lists the directory.
func (d *trustedDir) names() ([]string, error) { return d.f.Readdirnames(-1) }

// read returns the contents of the file name in d, at most limit bytes.
func (d *trustedDir) read(name string, limit int64) ([]byte, error) {
	path := filepath.Join(d.path, name)
	// O_NONBLOCK: opening a FIFO must not wait for a writer.
	fd, err := unix.Openat(int(d.f.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%w: %s is a symbolic link", ErrInsecure, path)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() { _ = unix.Close(fd) }() // it was only read
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrInsecure, path)
	}
	if err := checkOwner(&st, path); err != nil {
		return nil, err
	}
	// A byte more than there is, to see that there is no more.
	data := make([]byte, min(max(st.Size, 0), limit)+1)
	for n := 0; ; {
		got, err := unix.Read(fd, data[n:])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, &os.PathError{Op: "read", Path: path, Err: err}
		case got == 0:
			return data[:n], nil
		}
		if n += max(got, 0); int64(n) > limit {
			return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrCorrupt, path, limit)
		}
		if n == len(data) { // it has grown
			data = append(data, make([]byte, len(data))...)
		}
	}
}

// checkOwner demands that root owns a file and that nobody else can write it.
func checkOwner(st *unix.Stat_t, path string) error {
	if st.Uid != 0 {
		return fmt.Errorf("%w: %s belongs to user %d; reinstall the patch package, or `chown root`", ErrInsecure, path, st.Uid)
	}
	if st.Mode&0o022 != 0 {
		return fmt.Errorf("%w: %s is writable by group or others (mode %04o); `chmod go-w` it", ErrInsecure, path, st.Mode&0o7777)
	}
	return nil
}
