// Package corpus is a table of real programs and libraries of Debian and of the
// real fixes that were made to them, and what becomes of each fix as a live
// patch.
//
// Each package is unpacked with all of Debian's patches before the first fix in
// the table, and built once behind the compiler front with Debian's flags. Each
// fix is then made into patch objects for what was built, and these go into a
// running process of it and out again.
//
// It may import engine/build, engine/object, engine/patchobject, engine/user,
// tests/debian and below.
//
// Invariants:
//   - a verdict is what the engine says, compared with what the table expects;
//   - after the removal of a patch every byte of the target's code in the
//     process is what it was.
package corpus
