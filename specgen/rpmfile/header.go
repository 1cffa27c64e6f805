package rpmfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Layout of a package file, from RPM's format documentation
// (https://rpm-software-management.github.io/rpm/manual/format_v4.html).
const (
	leadSize   = 96
	introSize  = 16 // magic, reserved, number of index entries, size of the store
	entrySize  = 16 // tag, type, offset, count
	maxEntries = 1 << 16
	maxStore   = 256 << 20 // RPM's own bound for a header
)

var (
	leadMagic   = []byte{0xed, 0xab, 0xee, 0xdb}
	headerMagic = []byte{0x8e, 0xad, 0xe8, 0x01}
)

// readHead reads lead, signature header and main header, and checks their
// structure, so that the library that decodes them meets neither a short read
// nor a count that it would allocate memory for.
func readHead(r io.Reader) ([]byte, error) {
	var head bytes.Buffer
	if err := take(r, &head, leadSize); err != nil {
		if head.Len() < len(leadMagic) || !bytes.HasPrefix(head.Bytes(), leadMagic) {
			return nil, ErrNotRPM
		}
		return nil, err
	}
	if !bytes.HasPrefix(head.Bytes(), leadMagic) {
		return nil, ErrNotRPM
	}
	for _, padded := range []bool{true, false} {
		if err := readHeader(r, &head, padded); err != nil {
			return nil, err
		}
	}
	return head.Bytes(), nil
}

func readHeader(r io.Reader, head *bytes.Buffer, padded bool) error {
	start := head.Len()
	if err := take(r, head, introSize); err != nil {
		return err
	}
	intro := head.Bytes()[start:]
	if !bytes.HasPrefix(intro, headerMagic) {
		return fmt.Errorf("%w (no header where one must be)", ErrCorrupt)
	}
	entries := int64(binary.BigEndian.Uint32(intro[8:]))
	store := int64(binary.BigEndian.Uint32(intro[12:]))
	if entries < 1 || entries > maxEntries || store < 1 || store > maxStore {
		return fmt.Errorf("%w (header with %d entries and %d bytes)", ErrCorrupt, entries, store)
	}
	if err := take(r, head, entries*entrySize+store); err != nil {
		return err
	}
	index := head.Bytes()[start+introSize:][:entries*entrySize]
	data := head.Bytes()[start+introSize+len(index):]
	if err := checkIndex(index, data); err != nil {
		return err
	}
	if padded {
		return take(r, head, (8-store%8)%8)
	}
	return nil
}

// checkIndex checks that each value lies in the store and that all values
// together are no larger than the store, as RPM demands.
func checkIndex(index, store []byte) error {
	var total int64
	for i := 0; i < len(index); i += entrySize {
		entry := index[i:]
		typ := binary.BigEndian.Uint32(entry[4:])
		offset := int64(binary.BigEndian.Uint32(entry[8:]))
		count := int64(binary.BigEndian.Uint32(entry[12:]))
		if offset > int64(len(store)) || count > int64(len(store)) {
			return fmt.Errorf("%w (value %d lies outside the header)", ErrCorrupt, i/entrySize)
		}
		size, err := valueSize(typ, count, store[offset:])
		if err != nil {
			return err
		}
		if total += size; size > int64(len(store))-offset || total > int64(len(store)) {
			return fmt.Errorf("%w (value %d exceeds the header)", ErrCorrupt, i/entrySize)
		}
	}
	return nil
}

func valueSize(typ uint32, count int64, data []byte) (int64, error) {
	switch typ {
	case 0: // null
		return 0, nil
	case 1, 2, 7: // char, int8, binary
		return count, nil
	case 3:
		return 2 * count, nil
	case 4:
		return 4 * count, nil
	case 5:
		return 8 * count, nil
	case 6, 8, 9: // strings
		size := 0
		for range count {
			end := bytes.IndexByte(data[size:], 0)
			if end < 0 {
				return 0, fmt.Errorf("%w (a string has no end)", ErrCorrupt)
			}
			size += end + 1
		}
		return int64(size), nil
	}
	return 0, fmt.Errorf("%w (value of unknown type %d)", ErrCorrupt, typ)
}

// take appends n bytes of r to head; memory grows only with what is there.
func take(r io.Reader, head *bytes.Buffer, n int64) error {
	_, err := io.CopyN(head, r, n)
	if errors.Is(err, io.EOF) {
		return ErrTruncated
	}
	return err
}
