package rpmfile

import (
	"errors"
	"fmt"
)

var (
	// ErrNotRPM says that a file is no RPM package at all.
	ErrNotRPM = errors.New("not an RPM package; give the path of a .rpm file")
	// ErrTruncated says that a file ends too early.
	ErrTruncated = errors.New("the package is incomplete; download it again")
	// ErrCorrupt says that a file breaks the RPM format.
	ErrCorrupt = errors.New("the package is damaged; check it with rpm -K and download it again")
	// ErrUnsafe says that an archive tried to leave its destination.
	ErrUnsafe = errors.New("the package has a file name that is not safe to extract; do not use it")
	// ErrTooLarge says that a payload exceeds the bounds of the extraction.
	ErrTooLarge = errors.New("the package unpacks to more than is allowed")
	// ErrUnsupported says that the payload is in a format not known here.
	ErrUnsupported = errors.New("the payload format is not supported; rebuild the package with a gzip, xz or zstd payload")
	// ErrArch says that a package is for another processor.
	ErrArch = errors.New("wrong architecture")
	// ErrKind says that a source package was given for a binary one or the
	// other way round.
	ErrKind = errors.New("wrong kind of package")
)

// FileError tells which package file failed, and why.
type FileError struct {
	Path string
	Err  error
}

func (e *FileError) Error() string { return fmt.Sprintf("package %q: %v", e.Path, e.Err) }
func (e *FileError) Unwrap() error { return e.Err }

// recovered turns a panic of a library into an ErrCorrupt.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w (%v)", ErrCorrupt, r)
	}
}
