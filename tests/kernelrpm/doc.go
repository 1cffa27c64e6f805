// Package kernelrpm makes the packages of a kernel from Debian's: the source package, and
// the debuginfo package of the very kernel that Debian ships, as a distribution with RPM
// has them.
//
// It may import package debian of the tests and the standard library.
//
// Invariant: code is what Debian has shipped; nothing of it is compiled here.
package kernelrpm
