// Package front stands in for the compilers and linkers of a build and writes
// down what they did.
//
// It answers one question: which command made which object and which linked
// file, from what? A directory of links named gcc, cc, ld … that all lead to
// cmd/syscare-cc stands first in PATH. Main finds the real tool of the same
// name further down, runs it with the same arguments, and appends one Record
// to the log.
//
// Archivers need no front: archives are read when they are linked, and their
// members are recognised by content, however they got there.
//
// The package is started once per compiler call, so it imports only small
// parts of the standard library.
//
// Invariants:
//   - the tool's exit status is the front's, whatever happens to the record;
//   - what could not be recorded is in Record.Error or in the file
//     log+BrokenSuffix, never silently lost;
//   - a record is one write under a lock, so parallel builds do not mix them;
//   - the tool sees the same arguments; of its environment only PATH (without
//     the front, so that wrappers cannot call it again) and, if the command
//     makes no dependency file, SUNPRO_DEPENDENCIES differ.
//
// A program needs one line:
//
//	func main() { os.Exit(front.Main()) }
package front
