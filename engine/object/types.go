package object

import (
	"encoding/hex"
	"fmt"
)

// Address is a link-time virtual address in an ELF file. What it is in a
// process is Address plus the load bias of that file there.
type Address uint64

// String gives the address as 0x-prefixed hexadecimal.
func (a Address) String() string { return fmt.Sprintf("%#x", uint64(a)) }

// BuildID identifies the contents of a linked ELF file: the descriptor of its
// NT_GNU_BUILD_ID note in lower-case hexadecimal. It is the only identity of
// a target ELF; names and paths are for people.
type BuildID string

// ParseBuildID checks that s is an even number of hexadecimal digits, 2 to
// 128 of them, and returns it in lower case.
func ParseBuildID(s string) (BuildID, error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) == 0 || len(raw) > 64 {
		return "", fmt.Errorf("build ID %q: want 2 to 128 hexadecimal digits", s)
	}
	return BuildID(hex.EncodeToString(raw)), nil
}

// FullName is the symbol's name as the file spells it: with the version that
// follows an at sign.
func (s *Symbol) FullName() string { return s.spelling }
