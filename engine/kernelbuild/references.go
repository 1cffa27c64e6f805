package kernelbuild

import (
	"bytes"
	"crypto/sha1"
	"debug/elf"
	"fmt"
	"strings"

	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/object"
)

// Of a livepatch module, see Documentation/livepatch/module-elf-format.rst: relocations
// that the livepatch core applies are in sections of their own, with this flag, against
// symbols with this section index.
const (
	livepatchFlag    elf.SectionFlag  = 0x00100000 // SHF_RELA_LIVEPATCH
	livepatchSection elf.SectionIndex = 0xff20     // SHN_LIVEPATCH
)

// convertReferences makes livepatch relocations of the references in a linked module to what
// is not exported, and leaves out debug information.
func convertReferences(module []byte) ([]byte, error) {
	f, err := object.Read(bytes.NewReader(module))
	if err != nil {
		return nil, fmt.Errorf("linked module: %w", err)
	}
	c := converter{file: f, out: object.NewBuilder(f.Machine), sections: map[*object.Section]*object.BuildSection{}, symbols: map[*object.Symbol]*object.BuildSymbol{}}
	if err := c.copySections(); err != nil {
		return nil, fmt.Errorf("linked module: %w", err)
	}
	if err := c.copyRelocs(); err != nil {
		return nil, fmt.Errorf("linked module: %w", err)
	}
	c.addSymbols()
	return c.identified()
}

// identified writes the module with a build ID that tells it by what is in it: the linker's
// is also of the debug information, and so of the directory that the module was made in.
func (c *converter) identified() ([]byte, error) {
	const header = 16 // of a note named "GNU"
	note := c.sections[c.file.Section(".note.gnu.build-id")]
	if note == nil || len(note.Data) <= header {
		return c.out.Bytes()
	}
	clear(note.Data[header:])
	plain, err := c.out.Bytes()
	if err != nil {
		return nil, err
	}
	digest := sha1.Sum(plain)
	copy(note.Data[header:], digest[:])
	return c.out.Bytes()
}

type converter struct {
	file     *object.File
	out      *object.Builder
	sections map[*object.Section]*object.BuildSection
	symbols  map[*object.Symbol]*object.BuildSymbol
	used     map[*object.Symbol]bool
}

func (c *converter) copySections() error {
	for _, s := range c.file.Sections {
		switch s.Type {
		case elf.SHT_PROGBITS, elf.SHT_NOBITS, elf.SHT_NOTE:
		case elf.SHT_NULL, elf.SHT_SYMTAB, elf.SHT_STRTAB, elf.SHT_RELA:
			continue
		default:
			return fmt.Errorf("section %q of type %v is not expected", s.Name, s.Type)
		}
		if s.Flags&elf.SHF_ALLOC == 0 {
			continue
		}
		data, err := s.Bytes()
		if err != nil {
			return err
		}
		c.sections[s] = c.out.AddSection(&object.BuildSection{
			Name: s.Name, Type: s.Type, Flags: s.Flags, Align: s.Align, EntSize: s.EntSize, Data: data, Size: s.Size,
		})
	}
	return nil
}

func (c *converter) copyRelocs() error {
	c.used = map[*object.Symbol]bool{}
	for _, s := range c.file.Sections {
		to := c.sections[s]
		if to == nil {
			continue
		}
		relocs, err := c.file.Relocs(s)
		if err != nil {
			return err
		}
		for _, r := range relocs {
			c.used[r.Symbol] = true
			made := object.BuildReloc{Offset: r.Offset, Type: r.Type, Symbol: c.symbol(r.Symbol), Addend: r.Addend}
			reached, _, late := diff.ParseReference(r.Symbol.Name)
			if !late {
				to.Relocs = append(to.Relocs, made)
				continue
			}
			to.AddRelocs(".klp.rela."+reached+"."+s.Name, livepatchFlag|elf.SHF_ALLOC, made)
		}
	}
	return nil
}

// symbol is what becomes of a symbol.
func (c *converter) symbol(s *object.Symbol) *object.BuildSymbol {
	if made := c.symbols[s]; made != nil {
		return made
	}
	made := &object.BuildSymbol{
		Name: s.Name, Section: c.sections[s.Section], Value: s.Value, Size: s.Size, Bind: s.Bind, Type: s.Type, Index: s.Shndx,
	}
	if _, name, late := diff.ParseReference(s.Name); late {
		made.Name, made.Bind, made.Index = ".klp.sym."+name, elf.STB_GLOBAL, livepatchSection
	}
	c.symbols[s] = made
	return made
}

// addSymbols adds the symbols in their order: those of what is there, and those that
// something refers to.
func (c *converter) addSymbols() {
	for _, s := range c.file.Symbols {
		unused := s.Section == nil && s.Shndx != elf.SHN_ABS && !c.used[s] // also the null symbol
		gone := s.Section != nil && c.sections[s.Section] == nil
		if unused || gone || s.Type == elf.STT_FILE || strings.HasPrefix(s.Name, ".L") && !c.used[s] {
			continue
		}
		c.out.AddSymbol(c.symbol(s))
	}
}
