package user

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// maxModules bounds the dynamic linker's list, which the process can write.
const maxModules = 4096

// module is one loaded object with its dynamic symbols.
type module struct {
	image
	*moduleFile
}

// openModule reads the file of a mapped image, if it is not known yet.
func openModule(p Process, img image) (*module, error) {
	file, err := readModule(img.path(p))
	if err != nil {
		return nil, err
	}
	return &module{img, file}, nil
}

// slot is the address of the slot for name in the process.
func (m *module) slot(of slots, name string) (uint64, bool) {
	at, ok := of[name]
	return m.bias + at, ok
}

// linkage reports whether an address is in the module's procedure linkage
// table.
func (m *module) linkage(at uint64) bool {
	for _, s := range m.tables {
		if at >= m.bias+s.at && at < m.bias+s.end() {
			return true
		}
	}
	return false
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
