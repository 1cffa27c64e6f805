// Package metadata owns patch.json, the description of one installed patch,
// and the layout of a patch directory:
//
//	/usr/lib/syscare/patches/<uuid>/patch.json
//	/usr/lib/syscare/patches/<uuid>/<entity file>     one patch object per entity
//
// It may import package engine/object and the standard library; the writer
// (specgen) and the reader (state) share it.
//
// Invariant: a Patch that Parse returned satisfies Check: names are safe in
// file names and RPM tags, digests are well formed, entity files are plain
// names in the patch directory.
package metadata
