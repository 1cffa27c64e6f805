// Package vm runs a Debian of its own in QEMU, with its kernel, systemd, D-Bus and
// polkit: for tests of what only a machine that boots can show. The processor is
// emulated, which works everywhere (KVM that is nested in another one often fails).
//
//	m := vm.New(t)
//	... put files into m.Root ...
//	m.Boot()
//	m.Run("systemctl is-active syscared")
//	m.Cut() // the power
//	m.Boot()
//
// The root file system is made once by mmdebstrap and kept with the other caches of
// the tests. Commands reach the machine through an agent on a serial line.
//
// It may import package debian of the tests.
package vm
