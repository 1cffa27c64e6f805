package front

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Digest returns the SHA-256 of a file in hexadecimal.
func Digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return digestOf(f)
}

func digestOf(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// fileKind is what the first bytes of a file say.
type fileKind int

const (
	otherFile fileKind = iota
	objectFile
	linkedFile
	archiveFile
	thinArchive
)

func kindOf(f io.ReaderAt) fileKind {
	head := make([]byte, 20)
	n, _ := f.ReadAt(head, 0)
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte("!<arch>\n")):
		return archiveFile
	case bytes.HasPrefix(head, []byte("!<thin>\n")):
		return thinArchive
	case len(head) == 20 && bytes.HasPrefix(head, []byte("\x7fELF")):
		switch binary.LittleEndian.Uint16(head[16:]) { // e_type
		case 1:
			return objectFile
		case 2, 3:
			return linkedFile
		}
	}
	return otherFile
}

// input says what a linked file consists of; ok is false for shared
// libraries, linker scripts and the like.
func input(log, path string) (in Input, ok bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return Input{}, false, err
	}
	defer f.Close()
	in.Path = path
	switch kind := kindOf(f); kind {
	case objectFile:
		in.Digest, err = digestOf(f)
		return in, true, err
	case archiveFile, thinArchive:
		info, err := f.Stat()
		if err != nil {
			return in, false, err
		}
		// One archive is often linked into many programs: its members are
		// read once per version of the file.
		stat := info.Sys().(*syscall.Stat_t)
		in.Archive = fmt.Sprintf("ar-%x-%x-%x-%x", stat.Dev, stat.Ino, info.Size(), info.ModTime().UnixNano())
		if _, err := os.Stat(keyPath(log, in.Archive)); err == nil && kind == archiveFile {
			return in, true, nil
		}
		members, err := readArchive(f, info.Size(), filepath.Dir(path), kind == thinArchive)
		if err != nil {
			return in, false, fmt.Errorf("archive %s: %w", path, err)
		}
		if kind == thinArchive { // its members change without it
			in.Archive += fmt.Sprintf("-%d", os.Getpid())
		}
		return in, true, writeKey(log, in.Archive, members)
	}
	return in, false, nil
}

// readArchive digests the members of a common ar(5) archive in the GNU form.
func readArchive(f io.ReaderAt, size int64, dir string, thin bool) ([]Member, error) {
	const headerSize = 60
	var members []Member
	var names []byte
	for offset := int64(8); offset+headerSize <= size; {
		header := make([]byte, headerSize)
		if _, err := f.ReadAt(header, offset); err != nil {
			return nil, err
		}
		length, err := strconv.ParseInt(strings.TrimSpace(string(header[48:58])), 10, 64)
		if err != nil || length < 0 || string(header[58:]) != "`\n" {
			return nil, fmt.Errorf("no member header at %d", offset)
		}
		offset += headerSize
		name := strings.TrimRight(string(header[:16]), " ")
		inline := !thin
		switch name {
		case "//":
			if length > size-offset {
				return nil, errors.New("table of names is longer than the file")
			}
			names = make([]byte, length)
			if _, err := f.ReadAt(names, offset); err != nil {
				return nil, err
			}
			inline = true
		case "/", "/SYM64/":
			inline = true
		default:
			if name, err = memberName(name, names); err != nil {
				return nil, err
			}
			m := Member{Name: name, Offset: offset, Size: length}
			if thin {
				if !filepath.IsAbs(name) {
					name = filepath.Join(dir, name)
				}
				m.Offset = 0
				m.Digest, err = Digest(name)
			} else {
				m.Digest, err = digestOf(io.NewSectionReader(f, offset, length))
			}
			if err != nil {
				return nil, err
			}
			members = append(members, m)
		}
		if inline {
			offset += length + length&1
		}
	}
	return members, nil
}

// memberName resolves "name/" and "/offset" into the table of long names.
func memberName(name string, names []byte) (string, error) {
	if !strings.HasPrefix(name, "/") {
		return strings.TrimSuffix(name, "/"), nil
	}
	start, err := strconv.Atoi(strings.SplitN(name[1:], ":", 2)[0])
	if err != nil || start < 0 || start >= len(names) {
		return "", fmt.Errorf("member name %q is not in the table", name)
	}
	end := bytes.IndexByte(names[start:], '\n')
	if end < 0 {
		end = len(names) - start
	}
	return strings.TrimSuffix(string(names[start:start+end]), "/"), nil
}

// keep digests a linked file and copies it aside: builds strip and delete.
func keep(log, path string) (digest string, linked bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	if kindOf(f) != linkedFile {
		digest, err = digestOf(f)
		return digest, false, err
	}
	temporary := filepath.Join(filepath.Dir(log), "linked", fmt.Sprintf("new.%d", os.Getpid()))
	copied, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", true, err
	}
	digest, err = digestOf(io.TeeReader(f, copied))
	if err = errors.Join(err, copied.Close()); err != nil {
		return "", true, errors.Join(err, os.Remove(temporary))
	}
	return digest, true, os.Rename(temporary, Kept(log, digest))
}
