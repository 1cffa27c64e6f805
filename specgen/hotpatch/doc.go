// Package hotpatch turns a source package, debuginfo packages and patch files
// into the two packages of a patch: what `syscare build` does.
//
// It answers one question: in which order do unpacking (specgen), the recorded
// build and the comparison (engine/build) and packing (specgen) happen, and
// what is left behind? Everything that it writes before the end lies in one
// directory, syscare-build.<pid>.
//
// It may import package specgen and below, state/metadata and engine/build.
//
// Invariants:
//   - the output directory gets both packages or neither, each by a rename, and a
//     report is only there if they are;
//   - afterwards the working directory is gone, except for build.log when a
//     command of the build failed and the error points there, or when
//     SkipCleanup asks to keep everything;
//   - the same input gives the same bytes: UUIDs are derived from it.
package hotpatch
