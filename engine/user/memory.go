package user

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"golang.org/x/sys/unix"
)

// memory is another process's memory, /proc/PID/mem. Writing goes through
// page protections of private mappings, as for a debugger.
type memory struct{ fd int }

// ReadAt fills b from address at; it implements io.ReaderAt.
func (m memory) ReadAt(b []byte, at int64) (int, error) {
	done := 0
	for done < len(b) {
		n, err := unix.Pread(m.fd, b[done:], at+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, fmt.Errorf("read %d bytes at %#x: %w", len(b), at, err)
		}
		if n == 0 {
			return done, fmt.Errorf("read %d bytes at %#x: %w", len(b), at, io.ErrUnexpectedEOF)
		}
		done += n
	}
	return done, nil
}

func (m memory) read(b []byte, at uint64) error {
	if at > math.MaxInt64-uint64(len(b)) {
		return fmt.Errorf("read %d bytes at %#x: not a user address", len(b), at)
	}
	_, err := m.ReadAt(b, int64(at))
	return err
}

func (m memory) bytes(at uint64, n int) ([]byte, error) {
	b := make([]byte, n)
	return b, m.read(b, at)
}

func (m memory) word(at uint64) (uint64, error) {
	var b [8]byte
	err := m.read(b[:], at)
	return binary.LittleEndian.Uint64(b[:]), err
}

func (m memory) write(b []byte, at uint64) error {
	if at > math.MaxInt64-uint64(len(b)) {
		return fmt.Errorf("write %d bytes at %#x: not a user address", len(b), at)
	}
	done := 0
	for done < len(b) {
		n, err := unix.Pwrite(m.fd, b[done:], int64(at)+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("write %d bytes at %#x: %w", len(b), at, err)
		}
		if n == 0 {
			return fmt.Errorf("write %d bytes at %#x: %w", len(b), at, io.ErrShortWrite)
		}
		done += n
	}
	return nil
}
