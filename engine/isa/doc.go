// Package isa holds what differs between processors: relocations, jumps,
// function entries, instruction lengths. Everything else asks an *Arch and
// contains no test of the architecture.
//
// It may import golang.org/x/arch and the standard library.
//
// Invariants:
//   - an Arch is immutable and safe for concurrent use;
//   - a relocation type that is not described here does not exist for us: it
//     is refused when a patch is built and again when one is loaded;
//   - a value that does not fit its field is an error, never truncated.
package isa
