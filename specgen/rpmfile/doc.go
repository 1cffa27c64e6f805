// Package rpmfile reads RPM package files.
//
// It answers one question: what does this package file say and hold? Open
// reads the headers, Package.Extract the payload, CompareEVR orders versions
// as RPM does.
//
// It may import the standard library, the RPM and CPIO readers of
// cavaliergopher and decompressors; nothing of SysCare.
//
// Invariants:
//
//   - a package file is never trusted: sizes are checked before memory is
//     taken, a panic of a library comes back as an error, and every error
//     names the file;
//
//   - Extract writes nothing outside its destination, follows no symbolic
//     link that the archive brought, and leaves no set-user-ID, device or
//     world-writable file behind.
//
//     pkg, err := rpmfile.Open("redis-6.2.5-1.src.rpm")
//     files, err := pkg.Extract(ctx, dir, rpmfile.ExtractOptions{})
package rpmfile
