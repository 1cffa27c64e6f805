package user

import (
	"bytes"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

const pageSize = 4096

// maxMapsBytes bounds /proc/PID/maps: 65530 mappings is the kernel's default
// limit.
const maxMapsBytes = 64 << 20

// fileID names a mapped file within one reading of one machine's maps.
type fileID struct{ dev, inode uint64 }

// mapping is one line of /proc/PID/maps, proc_pid_maps(5).
type mapping struct {
	start, end              uint64
	read, write, exec, priv bool
	offset                  uint64
	file                    fileID
	name                    []byte // into the buffer that was parsed
}

func (m mapping) contains(a uint64) bool { return a >= m.start && a < m.end }
func (m mapping) anonymous() bool        { return m.file.inode == 0 && len(m.name) == 0 }

// buffers are for what is read of processes. With many of them, one after the
// other, making these anew would be most of the work.
var buffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// mapsReader reads one process's maps again and again, without allocating, and
// without doing again what a map that did not change would give again.
type mapsReader struct {
	fd        int
	buf, last []byte // read at present, and what maps was parsed from
	maps      []mapping
	images    []image // in maps; nil if not read yet
}

// read reads the map as it is now. What earlier calls returned is not valid any
// more.
func (r *mapsReader) read() ([]mapping, error) {
	if r.buf == nil {
		r.buf, r.last = *buffers.Get().(*[]byte), (*buffers.Get().(*[]byte))[:0]
	}
	n := 0
	for {
		if n == len(r.buf) {
			if n >= maxMapsBytes {
				return nil, fmt.Errorf("memory map is larger than %d bytes", maxMapsBytes)
			}
			r.buf = append(r.buf, make([]byte, len(r.buf))...)
		}
		got, err := unix.Pread(r.fd, r.buf[n:], int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read memory map: %w", err)
		}
		if got == 0 {
			break
		}
		n += got
	}
	if len(r.maps) > 0 && bytes.Equal(r.buf[:n], r.last) {
		return r.maps, nil
	}
	r.buf, r.last = r.last[:cap(r.last)], r.buf[:n]
	r.images = nil
	var err error
	r.maps, err = parseMaps(r.last, r.maps[:0])
	return r.maps, err
}

// known is the map as it was when it was read last. It serves what is checked
// again while the process stands.
func (r *mapsReader) known() ([]mapping, error) {
	if len(r.maps) > 0 {
		return r.maps, nil
	}
	return r.read()
}

// changed says that the map is another now.
func (r *mapsReader) changed() { r.maps = r.maps[:0] }

// imagesIn returns the ELF files in the map as it was read last.
func (r *mapsReader) imagesIn(mem memory) []image {
	if r.images == nil {
		r.images = images(mem, r.maps)
	}
	return r.images
}

// close ends the use of all that was read.
func (r *mapsReader) close() {
	memory{fd: r.fd}.close()
	if r.buf != nil {
		for _, b := range [][]byte{r.buf, r.last[:cap(r.last)]} {
			buffers.Put(&b)
		}
	}
	*r = mapsReader{fd: -1}
}

func parseMaps(data []byte, into []mapping) ([]mapping, error) {
	for len(data) > 0 {
		line := data
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			line, data = data[:i], data[i+1:]
		} else {
			data = nil
		}
		p := fieldParser{rest: line}
		m := mapping{start: p.number(16, '-'), end: p.number(16, ' ')}
		if len(p.rest) < 5 || p.bad || m.end <= m.start {
			return nil, fmt.Errorf("memory map line %q is not valid", line)
		}
		m.read, m.write, m.exec, m.priv = p.rest[0] == 'r', p.rest[1] == 'w', p.rest[2] == 'x', p.rest[3] == 'p'
		p.rest = p.rest[5:]
		m.offset = p.number(16, ' ')
		m.file.dev = p.number(16, ':')<<32 | p.number(16, ' ')
		m.file.inode = p.number(10, ' ')
		if p.bad {
			return nil, fmt.Errorf("memory map line %q is not valid", line)
		}
		m.name = bytes.TrimLeft(p.rest, " ")
		into = append(into, m)
	}
	return into, nil
}

type fieldParser struct {
	rest []byte
	bad  bool
}

// number takes a number and the byte that ends it; the end of the line ends
// the inode of an anonymous mapping.
func (p *fieldParser) number(base uint64, end byte) uint64 {
	var n uint64
	for i, c := range p.rest {
		switch {
		case c == end:
			p.rest = p.rest[i+1:]
			return n
		case c >= '0' && c <= '9':
			n = n*base + uint64(c-'0')
		case base == 16 && c >= 'a' && c <= 'f':
			n = n*base + uint64(c-'a'+10)
		default:
			p.bad = true
			return 0
		}
	}
	p.rest = nil
	return n
}

// find returns the mapping that holds address a, nil if none does.
func find(maps []mapping, a uint64) *mapping {
	lo, hi := 0, len(maps)
	for lo < hi {
		mid := (lo + hi) / 2
		if maps[mid].end <= a {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(maps) && maps[lo].contains(a) {
		return &maps[lo]
	}
	return nil
}
