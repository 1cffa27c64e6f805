// Package build records how a program is built, makes single objects again,
// and from them the patch objects of a fix.
//
// It answers one question: which of the program's linked files does a source
// patch change, and what is the patch object of each? The steps:
//
//	record     run the build once, unmodified, behind the compiler front
//	plan       apply the patch files to copies of what they touch
//	affected   units whose source or headers differ
//	original   compile these units again, with one section per function
//	patched    write the changed files into the tree, compile again
//	match      pair linked files and debuginfo by their code symbols
//	diff       compare the units of each linked file, see package diff
//
// Units are made again in their own directory, with their own command and
// environment, so that everything but the fix is equal.
//
// It may import packages front, diff, object and patchobject. It knows no
// package format: the caller runs the build.
//
// Invariants:
//   - the recorded build is not changed by being recorded;
//   - a change that cannot be replayed exactly is a typed error that names the
//     file, never left out;
//   - nothing is written outside the work directory and the source tree; the
//     source tree is written only after all patches were found to fit, and is
//     afterwards what it was.
//
// The smallest use:
//
//	recording, err := build.Record(ctx, build.Options{WorkDir: dir, Front: cc}, run)
//	for _, l := range recording.Links() { fmt.Println(l.Path, len(l.Units)) }
package build
