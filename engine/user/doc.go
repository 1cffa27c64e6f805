// Package user changes the code of running processes: it finds them, loads a
// patch object into one, redirects functions to their new code and takes that
// back. One call is one transaction on one process.
//
// What is applied is recorded in the process itself, in the header of the
// region that holds the new code (see header.go), never in a file. Whoever
// looks next, Applied and Repair included, reads the truth from there.
//
// A transaction has two phases. Phase A borrows one thread for the system
// calls that map memory (remote.go); contents are then written while the
// process runs. Phase B stops every thread, checks that none of them is in
// code about to change (consistency.go, unwind.go), writes the jumps, and lets
// go (redirect.go). A busy process is let go and tried again until the
// deadline.
//
// The program that uses this package calls RunGuardIfAsked first in main (in
// tests: in TestMain), because a copy of the program is the guard that repairs
// a process if the program is killed in the middle.
//
// It may import packages isa, object and patchobject, delve's DWARF frame
// parser, golang.org/x/sys/unix and the standard library.
//
// Invariants:
//   - no memory is ever writable and executable in a target;
//   - the undo record is in the region before the first byte of the target's
//     text changes;
//   - an error leaves the process as it was; a process that died gives ErrGone;
//   - what is read out of a process is hostile: bounded, and checked before use;
//   - all ptrace calls of a transaction come from one locked OS thread, which
//     dies, and so detaches everything, if a thread of the target cannot be
//     stopped in time.
//
// Limits. Stacks of coroutines that no thread runs at the moment cannot be
// seen. A system call without its own restart (epoll_wait and the like) starts
// over with its whole timeout when it was interrupted by a stop.
//
//	processes, err := user.Find(ctx, object.Info.TargetID)
//	for _, p := range processes { report, err := user.Apply(ctx, p, object, user.Options{}) }
package user
