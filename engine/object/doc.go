// Package object reads ELF files and writes relocatable ones.
//
// It answers one question: what does this ELF file say? Reading never trusts
// the file: every size is bounded, and whatever goes wrong, a panic of the
// standard library's parser included, comes back as an error that names the
// section or symbol. The package knows no processor beyond the ELF machine
// number and no patch format; see packages isa and patchobject.
//
// It may import the standard library only.
//
// Invariants:
//   - a File is never changed after Read returned it;
//   - Builder output read back by Read gives the sections, symbols and
//     relocations that were added, in the order in which they were added
//     (locals before globals, as ELF demands).
//
// Formats are those of the System V gABI, chapters 4 and 5, and of the
// processor supplements.
//
//	f, err := object.Open("networking.o")
//	for _, s := range f.Sections { fmt.Println(s.Name, s.Size) }
package object
