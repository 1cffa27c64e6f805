// Package rpmhooks owns what install, upgrade and erase of a patch package
// mean, and the scriptlet texts that ask for it.
//
// The texts import nothing: package specgen writes them into patch packages
// and into the spec of the source package, so that both say the same.
//
// Invariants:
//   - a scriptlet never fails a transaction because SysCare is not there;
//   - only %preun of an erase ($1 = 0) may fail, with a reason on stderr; on
//     upgrade a failing %preun would leave both versions installed.
package rpmhooks
