// Package patchobject owns the format of the patch object: the file that
// replaces functions of one target ELF.
//
// A patch object is an ELF64 little-endian ET_REL file that readelf, objdump
// and nm understand. Its code, data and relocations are ordinary ELF for its
// machine. Three sections are its own; each holds one JSON value, so that
// `readelf -p` shows it and a reader that does not know a member refuses it:
//
//	.syscare.info    Info: format version, UUID, entity, target build ID …
//	.syscare.funcs   []Function: what is replaced, and what the target's
//	                 memory must hold there
//	.syscare.binds   []Bind: where each undefined symbol is to be found
//
// Symbols. A defined symbol lies in the patch. An undefined symbol has exactly
// one Bind of the same name, and every Bind has its symbol. A replaced function
// "f" that the patch also needs by its old address (stored or compared
// pointers) has the undefined symbol "f@target" beside the defined "f".
//
// Sections that are allocated and not writable are loaded into the read-execute
// region, writable ones into the read-write region, in section order. No
// section has both SHF_WRITE and SHF_EXECINSTR; SHF_TLS does not occur.
//
// It may import package object and the standard library.
//
// Invariant: Parse accepts what Encode wrote and nothing that breaks a rule of
// this comment; what it returns needs no further checking.
package patchobject
