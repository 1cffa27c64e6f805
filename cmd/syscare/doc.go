// Command syscare makes and manages live patches; see `syscare --help` and the
// manual page that `syscare man` writes.
//
// It parses the command line, calls packages state, diff and hotpatch, and
// prints. It holds no knowledge of its own about patches.
//
// Invariants:
//   - results go to stdout, everything else to stderr;
//   - exit codes: 0 done, 1 failed, 2 wrong usage (also an ambiguous patch
//     name), 3 not found or nothing to do, 4 busy or locked, 5 refused;
//   - every query prints stable names with --json.
package main
