package kernelbuild

import (
	"debug/elf"
	"fmt"
	"strings"

	"github.com/openeuler/syscare/engine/object"
)

// Of the tables that objtool makes, a module cannot do without these: by them the kernel
// unwinds stacks, and fills in how functions return.
const (
	unwindTable = ".orc_unwind_ip"
	returnTable = ".return_sites"
	returnThunk = "__x86_return_thunk"
)

// checkTables makes sure that objtool has dealt with all code of a linked module: what it does
// not understand it only warns of, and leaves the file as it was.
func checkTables(module, vmlinux *object.File) error {
	listed := map[string]map[*object.Section]int{}
	for _, table := range []string{unwindTable, returnTable} {
		listed[table] = map[*object.Section]int{}
		section := module.Section(table)
		if section == nil {
			continue
		}
		relocs, err := module.Relocs(section)
		if err != nil {
			return err
		}
		for _, r := range relocs {
			listed[table][r.Symbol.Section]++
		}
	}
	for _, s := range module.Sections {
		if s.Flags&elf.SHF_EXECINSTR == 0 || s.Size == 0 || s.Type != elf.SHT_PROGBITS || strings.HasPrefix(s.Name, ".altinstr") || strings.HasPrefix(s.Name, ".static_call") {
			continue
		}
		if vmlinux.Section(unwindTable) != nil && listed[unwindTable][s] == 0 {
			return fmt.Errorf("objtool has not dealt with section %q of the module: it would have nothing to unwind its stacks by; the build log has its warnings", s.Name)
		}
		relocs, err := module.Relocs(s)
		if err != nil {
			return err
		}
		returns := 0
		for _, r := range relocs {
			if r.Symbol.Name == returnThunk {
				returns++
			}
		}
		if vmlinux.Section(returnTable) != nil && listed[returnTable][s] != returns {
			return fmt.Errorf("objtool has listed %d of the %d places where section %q of the module returns; the build log has its warnings", listed[returnTable][s], returns, s.Name)
		}
	}
	return nil
}
