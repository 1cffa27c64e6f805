package user

import (
	"debug/elf"
	"encoding/binary"
	"fmt"

	"github.com/openeuler/syscare/engine/object"
)

// maxModules bounds the dynamic linker's list, which the process can write.
const maxModules = 4096

// module is one loaded object with its dynamic symbols.
type module struct {
	image
	file    *object.File
	byName  map[string][]*object.Symbol
	hidden  []bool            // by symbol index: an old version, not for new references
	globals map[string]uint64 // slots with addresses
	plt     map[string]uint64 // slots for calls

	threadModules map[string]uint64 // pairs of slots: TLS module and offset there
	threadOffsets map[string]uint64 // slots with offsets from the thread pointer
	ownModule     uint64            // slot with the module's own TLS module, 0 if none
	threadBase    struct {          // a slot with the place of a variable of its own, and the variable's offset
		slot   uint64
		offset int64
	}
	indirect map[uint64]uint64 // slots by the link-time address of the function that chooses

	needed   []string
	soname   string
	symbolic bool // its own definitions come first: -Bsymbolic
	// ownCalls says that it reaches functions of its own through slots: it was
	// not linked with -Bsymbolic-functions, of which nothing else tells.
	ownCalls bool
}

// openModule reads the file of a mapped image.
func openModule(p Process, img image) (*module, error) {
	f, err := object.Open(img.path(p))
	if err != nil {
		return nil, err
	}
	m := &module{
		image: img, file: f, byName: map[string][]*object.Symbol{}, globals: map[string]uint64{}, plt: map[string]uint64{},
		threadModules: map[string]uint64{}, threadOffsets: map[string]uint64{}, indirect: map[uint64]uint64{},
	}
	for _, s := range f.Dynamic {
		if s.Name != "" {
			m.byName[s.Name] = append(m.byName[s.Name], s)
		}
	}
	if err := m.readVersions(); err != nil {
		f.Close()
		return nil, err
	}
	err = m.readSlots()
	if err == nil {
		err = m.readDynamic()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return m, nil
}

func (m *module) readVersions() error {
	m.hidden = make([]bool, len(m.file.Dynamic))
	s := m.file.Section(".gnu.version")
	if s == nil {
		return nil
	}
	data, err := s.Bytes()
	if err != nil {
		return err
	}
	for i := range m.hidden {
		if 2*i+2 <= len(data) {
			m.hidden[i] = binary.LittleEndian.Uint16(data[2*i:])&0x8000 != 0
		}
	}
	return nil
}

// readSlots notes where the module's own table of addresses has an entry for
// which symbol.
func (m *module) readSlots() error {
	for _, s := range m.file.Sections {
		if s.Type != elf.SHT_RELA || s.Flags&elf.SHF_ALLOC == 0 {
			continue
		}
		relocs, err := m.file.ReadRela(s)
		if err != nil {
			return err
		}
		for _, r := range relocs {
			m.readSlot(r)
		}
	}
	return nil
}

func (m *module) readSlot(r object.Reloc) {
	slot, name := m.bias+r.Offset, ""
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

// define finds the module's definition of name, of its default version unless
// one is given.
func (m *module) define(name, version string) *object.Symbol {
	for _, s := range m.byName[name] {
		if !s.Defined() || s.Bind == elf.STB_LOCAL || s.Type == elf.STT_TLS {
			continue
		}
		if version != "" && s.Version != "" && s.Version != version {
			continue
		}
		if version == "" && m.hidden[s.Index] {
			continue
		}
		return s
	}
	return nil
}

// linkMap lists the loaded objects in the order in which the dynamic linker
// looks symbols up: <link.h>, struct r_debug and struct link_map.
func linkMap(mem memory, all []image, program image) ([]image, error) {
	dynamic, ok := program.segment(elf.PT_DYNAMIC)
	if !ok {
		return []image{program}, nil
	}
	debug := uint64(0)
	for at := program.bias + dynamic.Vaddr; at < program.bias+dynamic.Vaddr+dynamic.Memsz; at += 16 {
		tag, err := mem.word(at)
		if err != nil {
			return nil, err
		}
		if elf.DynTag(tag) == elf.DT_DEBUG {
			if debug, err = mem.word(at + 8); err != nil {
				return nil, err
			}
		}
		if elf.DynTag(tag) == elf.DT_NULL {
			break
		}
	}
	if debug == 0 {
		return []image{program}, nil
	}
	entry, err := mem.word(debug + 8)
	if err != nil {
		return nil, err
	}
	var order []image
	for n := 0; entry != 0; n++ {
		if n == maxModules {
			return nil, fmt.Errorf("the list of loaded objects has no end")
		}
		var raw [32]byte
		if err := mem.read(raw[:], entry); err != nil {
			return nil, err
		}
		dynamicAt := binary.LittleEndian.Uint64(raw[16:])
		for _, img := range all {
			if dynamicAt >= img.lo && dynamicAt < img.hi {
				order = append(order, img)
			}
		}
		entry = binary.LittleEndian.Uint64(raw[24:])
	}
	return order, nil
}
