package object

import (
	"bytes"
	"debug/dwarf"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Debug information that dwz has shrunk refers to strings in another file, which
// the section .gnu_debugaltlink names: a path, relative to the directory of the
// file, and the build ID. See "DWARF Extensions", DW_FORM_GNU_strp_alt, in the
// GNU binutils and dwz documentation.

// alternate is what is read of that other file.
type alternate struct {
	once    sync.Once
	strings []byte
	err     error
}

// Text returns the string value of an attribute, "" if entry has none. It is an
// error if the string is in an alternate file that cannot be read.
func (f *File) Text(entry *dwarf.Entry, attr dwarf.Attr) (string, error) {
	field := entry.AttrField(attr)
	if field == nil {
		return "", nil
	}
	if field.Class != dwarf.ClassStringAlt {
		text, _ := field.Val.(string)
		return text, nil
	}
	f.alternate.once.Do(func() { f.alternate.strings, f.alternate.err = f.readAlternate() })
	if f.alternate.err != nil {
		return "", f.alternate.err
	}
	offset, _ := field.Val.(int64)
	if offset < 0 || offset >= int64(len(f.alternate.strings)) {
		return "", fmt.Errorf("%s: string at %#x is outside the alternate debug information", f.path, offset)
	}
	text, _, _ := bytes.Cut(f.alternate.strings[offset:], []byte{0})
	return string(text), nil
}

func (f *File) readAlternate() ([]byte, error) {
	section := f.Section(".gnu_debugaltlink")
	if section == nil {
		return nil, fmt.Errorf("%s: debug information refers to another file and does not name it", f.path)
	}
	link, err := section.Bytes()
	if err != nil {
		return nil, err
	}
	text, id, found := bytes.Cut(link, []byte{0})
	if !found || len(text) == 0 || len(id) == 0 || len(id) > 64 {
		return nil, fmt.Errorf("%s: section .gnu_debugaltlink: malformed", f.path)
	}
	name := string(text)
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(f.path), name)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Type()&^fs.ModeSymlink != 0 {
		return nil, fmt.Errorf("%s: its debug information is shared (dwz) and the other part, %s, is not there: give the debuginfo package that contains it", f.path, name)
	}
	other, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer other.Close()
	if want := BuildID(hex.EncodeToString(id)); other.BuildID != want {
		return nil, fmt.Errorf("%s: its debug information needs %s with the build ID %s, not %s: give debuginfo packages of the same build", f.path, name, want, other.BuildID)
	}
	for _, s := range other.Sections {
		if s.Name == ".debug_str" && s.Type != elf.SHT_NOBITS {
			return s.Bytes()
		}
	}
	return nil, fmt.Errorf("%s: no section .debug_str", name)
}
