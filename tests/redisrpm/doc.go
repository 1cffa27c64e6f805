// Package redisrpm makes the packages on which the end-to-end tests and the
// demonstration work: Redis 7.0.15 as a source RPM, an RPM and a debuginfo RPM,
// and real security fixes for it as patch files.
//
// The source is Debian's, fetched by apt with its signatures checked, through
// a private source list: the machine's own lists stay as they are. What was
// fetched and built is kept under $XDG_CACHE_HOME/syscare-tests; later calls,
// also of other processes at the same time, take it from there and need no
// network.
//
//	packages, err := redisrpm.Make(ctx, os.Stderr)
//	patch, err := packages.PatchFile("CVE-2025-32023")
//
// It may import the standard library only.
//
// Invariants:
//   - every Fix applies to the prepared tree of the source RPM on its own, with
//     strip level 1 and fuzz 0; Make checks it;
//   - a cache entry is complete or absent.
package redisrpm
