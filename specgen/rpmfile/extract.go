package rpmfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/cavaliergopher/cpio"
)

// Bounds of an extraction that gives none: the debuginfo of a kernel fits.
const (
	DefaultMaxBytes = 32 << 30
	DefaultMaxFiles = 1 << 20
)

// Entry is one file of a payload.
type Entry struct {
	Name string // relative, slash-separated, without ".." or "."
	Mode fs.FileMode
	Size int64
	Link string // target of a symbolic link
}

// ExtractOptions says what Extract takes.
type ExtractOptions struct {
	Filter   func(Entry) bool // what to extract; nil takes all
	MaxBytes int64            // of all file contents; 0 is DefaultMaxBytes
	MaxFiles int              // 0 is DefaultMaxFiles
}

// Extract unpacks the payload of p into dir, which must exist, and gives what
// it wrote, in the archive's order. Its errors are FileErrors. After an error
// dir holds a part; the caller removes it.
func (p *Package) Extract(ctx context.Context, dir string, opts ExtractOptions) ([]Entry, error) {
	entries, err := p.extract(ctx, dir, opts)
	if err != nil {
		return nil, &FileError{p.Path, err}
	}
	return entries, nil
}

func (p *Package) extract(ctx context.Context, dir string, opts ExtractOptions) (entries []Entry, err error) {
	if p.format != "" && p.format != "cpio" {
		return nil, fmt.Errorf("%w (archive format %q)", ErrUnsupported, p.format)
	}
	f, err := os.Open(p.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(p.payload, io.SeekStart); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot extract to %q: %w", dir, err)
	}
	defer root.Close()
	return extractPayload(ctx, p.compressor, f, root, opts)
}

func extractPayload(ctx context.Context, compressor string, r io.Reader, root *os.Root, opts ExtractOptions) (entries []Entry, err error) {
	defer recovered(&err)
	in := &source{ctx: ctx, r: r}
	plain, done, err := decompress(compressor, in)
	if err != nil {
		return nil, in.explain(err)
	}
	defer done()
	x := &extraction{root: root, opts: opts, waiting: make(map[int64][]Entry)}
	if x.opts.MaxBytes == 0 {
		x.opts.MaxBytes = DefaultMaxBytes
	}
	if x.opts.MaxFiles == 0 {
		x.opts.MaxFiles = DefaultMaxFiles
	}
	// The bound counts what is skipped too: a small file may unpack to
	// anything.
	x.plain = &bounded{r: plain, left: x.opts.MaxBytes}
	x.archive = cpio.NewReader(x.plain)
	if err := x.run(ctx); err != nil {
		return nil, in.explain(err)
	}
	return x.done, nil
}

// source reads the compressed payload, stops with its context, and tells
// damage of the payload from failures of the machine.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		s.err = err
		return 0, err
	}
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// explain gives the error of an extraction its kind.
func (s *source) explain(err error) error {
	var fail *fs.PathError
	var link *os.LinkError
	switch {
	case s.err != nil:
		return s.err
	case errors.Is(err, ErrUnsafe), errors.Is(err, ErrTooLarge), errors.Is(err, ErrUnsupported), errors.Is(err, ErrCorrupt),
		errors.As(err, &fail), errors.As(err, &link):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTruncated
	}
	return fmt.Errorf("%w (%w)", ErrCorrupt, err)
}

type bounded struct {
	r     io.Reader
	left  int64
	ended bool
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, ErrTooLarge
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.ended = n == 0 && errors.Is(err, io.EOF)
	return n, err
}

// extraction is one run of Extract.
type extraction struct {
	root    *os.Root
	plain   *bounded
	archive *cpio.Reader
	opts    ExtractOptions
	waiting map[int64][]Entry // hard links whose content has yet to come, by inode
	done    []Entry
	times   []dirTime
}

type dirTime struct {
	name  string
	mtime time.Time
}

func (x *extraction) run(ctx context.Context) error {
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := x.archive.Next()
		if errors.Is(err, io.EOF) && !x.plain.ended { // the trailer
			if err := x.finish(); err != nil {
				return err
			}
			// The decompressor's own checksum comes last.
			_, err := io.Copy(io.Discard, x.plain)
			return err
		}
		if err != nil {
			return err
		}
		if n >= x.opts.MaxFiles {
			return fmt.Errorf("%w (more than %d files)", ErrTooLarge, x.opts.MaxFiles)
		}
		if err := x.entry(h); err != nil {
			return err
		}
	}
}

func (x *extraction) entry(h *cpio.Header) error {
	if h.Size < 0 {
		return fmt.Errorf("%w (file %q of negative size)", ErrCorrupt, h.Name)
	}
	e, err := newEntry(h)
	if err != nil {
		return err
	}
	wanted := e.Name != "." && (x.opts.Filter == nil || x.opts.Filter(e))
	switch {
	case e.Mode.IsRegular() && h.Links > 1:
		return x.hardLink(e, h, wanted)
	case !wanted:
		return nil
	case e.Mode.IsDir():
		if err := x.makeDir(e.Name); err != nil {
			return err
		}
		x.times = append(x.times, dirTime{e.Name, h.ModTime})
	case e.Mode&fs.ModeSymlink != 0:
		if err := x.symlink(e); err != nil {
			return err
		}
	case e.Mode.IsRegular():
		if err := x.create(e, x.archive, h.ModTime); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w (%q is a device, pipe or socket)", ErrUnsafe, e.Name)
	}
	x.done = append(x.done, e)
	return nil
}

// newEntry checks name and link target of h. Names start with "./" or "/" or
// neither, depending on who wrote the package.
func newEntry(h *cpio.Header) (Entry, error) {
	e := Entry{Size: h.Size, Mode: h.FileInfo().Mode(), Link: h.Linkname}
	for part := range strings.SplitSeq(h.Name, "/") {
		if part == ".." {
			return e, fmt.Errorf("%w (%q)", ErrUnsafe, h.Name)
		}
	}
	e.Name = strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	if e.Name == "" {
		e.Name = "."
	}
	if strings.ContainsRune(h.Name, 0) {
		return e, fmt.Errorf("%w (%q)", ErrUnsafe, h.Name)
	}
	return e, nil
}

// hardLink keeps a linked name until the content comes: RPM stores it with
// the last name of an inode only.
func (x *extraction) hardLink(e Entry, h *cpio.Header, wanted bool) error {
	names := x.waiting[h.Inode]
	if wanted {
		names = append(names, e)
		x.waiting[h.Inode] = names
	}
	if h.Size == 0 || len(names) == 0 {
		return nil
	}
	delete(x.waiting, h.Inode)
	return x.linked(names, h.Size, x.archive, h.ModTime)
}

// linked writes one content under all its names.
func (x *extraction) linked(names []Entry, size int64, content io.Reader, mtime time.Time) error {
	for i := range names {
		names[i].Size = size
		if i == 0 {
			if err := x.create(names[0], content, mtime); err != nil {
				return err
			}
		} else if err := x.clear(names[i].Name); err != nil {
			return err
		} else if err := x.root.Link(names[0].Name, names[i].Name); err != nil {
			return err
		}
		x.done = append(x.done, names[i])
	}
	return nil
}

// finish writes linked files without content and the times of directories.
func (x *extraction) finish() error {
	for _, names := range x.waiting {
		if err := x.linked(names, 0, strings.NewReader(""), time.Time{}); err != nil {
			return err
		}
	}
	for i := len(x.times) - 1; i >= 0; i-- {
		if err := x.root.Chtimes(x.times[i].name, x.times[i].mtime, x.times[i].mtime); err != nil {
			return err
		}
	}
	return nil
}
