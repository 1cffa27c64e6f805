package user

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/openeuler/syscare/engine/object"
)

// slots are the places in a module's own table of addresses, by symbol; as all
// in a moduleFile, link-time addresses.
type slots map[string]uint64

// moduleFile is what a file says of the dynamic symbols that it defines and uses.
// It does not change.
type moduleFile struct {
	symbols map[string][]dynamicSymbol
	tables  []span // procedure linkage tables
	globals slots  // with addresses
	plt     slots  // for calls

	threadModules slots    // pairs: TLS module and offset there
	threadOffsets slots    // with offsets from the thread pointer
	ownModule     uint64   // slot with the module's own TLS module, 0 if none
	threadBase    struct { // a slot with the place of a variable of its own, and the variable's offset
		slot   uint64
		offset int64
	}
	indirect map[uint64]uint64 // slots by the address of the function that chooses

	needed   []string
	soname   string
	symbolic bool // its own definitions come first: -Bsymbolic
	// ownCalls says that it reaches functions of its own through slots: it was
	// not linked with -Bsymbolic-functions, of which nothing else tells.
	ownCalls bool
}

type dynamicSymbol struct {
	value      uint64
	typ        elf.SymType
	bind       elf.SymBind
	visibility elf.SymVis
	version    string
	defined    bool
	hidden     bool // an old version, not for new references
}

// fileKey is a file as it was at one time: what is in it is known then. The build
// ID would not do; anybody can write any.
type fileKey struct {
	dev, inode, size uint64
	changed          unix.Timespec
}

// modules remembers the files that were read: many processes map the same ones.
var modules = struct {
	sync.Mutex
	files map[fileKey]*moduleFile
}{files: map[fileKey]*moduleFile{}}

const maxKnownModules = 256

// readModule reads the file at path.
func readModule(path string) (*moduleFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	key := fileKey{st.Dev, st.Ino, uint64(st.Size), st.Ctim}
	modules.Lock()
	known := modules.files[key]
	modules.Unlock()
	if known != nil {
		return known, nil
	}
	file, err := object.Read(f)
	if err != nil {
		return nil, err
	}
	m := &moduleFile{
		symbols: map[string][]dynamicSymbol{}, globals: slots{}, plt: slots{},
		threadModules: slots{}, threadOffsets: slots{}, indirect: map[uint64]uint64{},
	}
	for _, read := range []func(*object.File) error{m.readSymbols, m.readSlots, m.readDynamic} {
		if err := read(file); err != nil {
			return nil, err
		}
	}
	modules.Lock()
	defer modules.Unlock()
	if len(modules.files) >= maxKnownModules {
		clear(modules.files)
	}
	modules.files[key] = m
	return m, nil
}

func (m *moduleFile) readSymbols(f *object.File) error {
	var versions []byte
	if s := f.Section(".gnu.version"); s != nil {
		var err error
		if versions, err = s.Bytes(); err != nil {
			return err
		}
	}
	for i, s := range f.Dynamic {
		if s.Name == "" {
			continue
		}
		hidden := 2*i+2 <= len(versions) && binary.LittleEndian.Uint16(versions[2*i:])&0x8000 != 0
		m.symbols[s.Name] = append(m.symbols[s.Name], dynamicSymbol{s.Value, s.Type, s.Bind, s.Visibility, s.Version, s.Defined(), hidden})
	}
	for _, s := range f.Sections {
		if s.Name == ".plt" || s.Name == ".plt.sec" || s.Name == ".plt.got" {
			m.tables = append(m.tables, span{uint64(s.Address), s.Size})
		}
	}
	return nil
}

// readSlots notes where the module's own table of addresses has an entry for
// which symbol.
func (m *moduleFile) readSlots(f *object.File) error {
	for _, s := range f.Sections {
		if s.Type != elf.SHT_RELA || s.Flags&elf.SHF_ALLOC == 0 {
			continue
		}
		relocs, err := f.ReadRela(s)
		if err != nil {
			return err
		}
		for _, r := range relocs {
			m.readSlot(r)
		}
	}
	return nil
}

func (m *moduleFile) readSlot(r object.Reloc) {
	slot, name := r.Offset, ""
	if r.Symbol != nil {
		name = r.Symbol.Name
	}
	own := name == "" || r.Symbol.Defined()
	// Indirect functions have slots in any case.
	function := name != "" && own && r.Symbol.Type == elf.STT_FUNC
	switch elf.R_X86_64(r.Type) {
	case elf.R_X86_64_GLOB_DAT:
		m.globals[name] = slot
		m.ownCalls = m.ownCalls || function
	case elf.R_X86_64_JMP_SLOT:
		m.plt[name] = slot
		m.ownCalls = m.ownCalls || function
	case elf.R_X86_64_IRELATIVE:
		m.indirect[uint64(r.Addend)] = slot
	case elf.R_X86_64_DTPMOD64:
		if name != "" {
			m.threadModules[name] = slot
		}
		if own {
			m.ownModule = slot
		}
	case elf.R_X86_64_TPOFF64:
		if name != "" {
			m.threadOffsets[name] = slot
		}
		if own {
			m.threadBase.slot, m.threadBase.offset = slot, r.Addend
			if name != "" {
				m.threadBase.offset += int64(r.Symbol.Value)
			}
		}
	}
}

// readDynamic notes what the module depends on and how it is bound.
func (m *moduleFile) readDynamic(f *object.File) error {
	var err error
	if m.needed, err = f.DynamicStrings(elf.DT_NEEDED); err != nil {
		return err
	}
	names, err := f.DynamicStrings(elf.DT_SONAME)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		m.soname = names[0]
	}
	flags, err := f.DynamicValues(elf.DT_FLAGS)
	if err != nil {
		return err
	}
	symbolic, err := f.DynamicValues(elf.DT_SYMBOLIC)
	m.symbolic = len(symbolic) > 0 || len(flags) > 0 && elf.DynFlag(flags[0])&elf.DF_SYMBOLIC != 0
	return err
}

// define finds the module's definition of name, of its default version unless
// one is given.
func (m *moduleFile) define(name, version string) *dynamicSymbol {
	all := m.symbols[name]
	for i := range all {
		s := &all[i]
		if !s.defined || s.bind == elf.STB_LOCAL || s.typ == elf.STT_TLS {
			continue
		}
		if version != "" && s.version != "" && s.version != version {
			continue
		}
		if version == "" && s.hidden {
			continue
		}
		return s
	}
	return nil
}

// exports reports whether other objects see the module's definition and their
// own could stand in its place.
func (m *moduleFile) exports(name, version string) bool {
	s := m.define(name, version)
	return s != nil && s.visibility == elf.STV_DEFAULT
}
