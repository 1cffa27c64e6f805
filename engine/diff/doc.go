// Package diff compares two relocatable objects of one translation unit,
// before and after a fix, and makes a patch object from what changed, or
// refuses.
//
// Both objects are compiled with one section per function and datum; the
// target ELF (or its debuginfo) says where everything that stays lies. The
// steps follow the published algorithm of kpatch's create-diff-object:
//
//	load       sections become nodes: functions, data, pools, anonymous tables
//	correlate  nodes of the two objects by name, after taking off what
//	           compilers renumber; static locals by the functions that have them
//	compare    bytes and relocations by meaning, whatever the numbering
//	guard      changed data and changed type layouts are refused
//	select     changed and new functions and what they need
//	bind       every reference that leaves the patch to its exact place
//	emit       one patch object for all units of the target ELF
//
// References to a replaced function from inside the patch: calls go to the new
// code; an address that is taken stays the old entry, so that function
// pointers compare equal everywhere.
//
// It may import packages object, isa and patchobject.
//
// Invariants:
//   - a difference that is not understood is a *Refusal, never ignored;
//   - an unchanged unit selects nothing, however its symbols are numbered;
//   - the same input gives the same bytes.
package diff
