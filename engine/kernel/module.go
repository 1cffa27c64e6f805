package kernel

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/openeuler/syscare/engine/object"
)

// Module is a livepatch module. What was looked at is what the kernel gets.
type Module struct {
	Name    string // as the kernel calls it
	Release string // of the kernel that it was made for, as uname -r says
	Signed  bool
	// Replaces says that it can take the place of all other live patches at once: it has
	// the parameter that package kernelbuild gives its modules for that.
	Replaces bool

	data []byte
}

const (
	// maxModule bounds a module's file, bytes.
	maxModule = 64 << 20
	// signature ends a signed module, see the kernel's scripts/sign-file.c.
	signature = "~Module signature appended~\n"
)

// replaceParameter is the name of that parameter.
const replaceParameter = "replace"

// Prefix begins the names of our modules.
const Prefix = "syscare_"

// NameFor is what the module of an entity has to be called.
func NameFor(uuid string) string { return Prefix + strings.ReplaceAll(uuid, "-", "_") }

// moduleName is what the kernel takes for the name of a livepatch module: see
// MODULE_NAME_LEN.
var moduleName = regexp.MustCompile(`^[a-zA-Z0-9_]{1,55}$`)

// Open reads the module in a file.
func Open(path string) (m *Module, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxModule {
		return nil, &FileError{path, fmt.Errorf("%w: it is no regular file of at most %d MB", ErrNotLivepatch, maxModule>>20)}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if m, err = Read(data); err != nil {
		return nil, &FileError{path, err}
	}
	return m, nil
}

// Read reads what a module says of itself. It keeps data.
func Read(data []byte) (*Module, error) {
	f, err := object.Read(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotLivepatch, err)
	}
	section := f.Section(".modinfo")
	if f.Type != elf.ET_REL || section == nil {
		return nil, fmt.Errorf("%w: it has no section .modinfo", ErrNotLivepatch)
	}
	text, err := section.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotLivepatch, err)
	}
	m := &Module{data: data, Signed: bytes.HasSuffix(data, []byte(signature))}
	livepatch := false
	for field := range bytes.SplitSeq(text, []byte{0}) {
		key, value, _ := strings.Cut(string(field), "=")
		switch key {
		case "name":
			m.Name = value
		case "vermagic":
			m.Release, _, _ = strings.Cut(value, " ")
		case "livepatch":
			livepatch = value == "Y"
		case "parmtype":
			m.Replaces = m.Replaces || value == replaceParameter+":bool"
		}
	}
	switch {
	case !livepatch:
		return nil, fmt.Errorf("%w: its information does not say livepatch=Y", ErrNotLivepatch)
	case !moduleName.MatchString(m.Name):
		return nil, fmt.Errorf("%w: the name %q is none of a module", ErrNotLivepatch, m.Name)
	}
	return m, nil
}
