// Package bus is the D-Bus face of state.Manager: the service that stands on the
// system bus, and the client that the command line tool uses.
//
// On the bus, org.openeuler.SysCare1 has at /org/openeuler/SysCare1 the interface
// …Manager and the standard ObjectManager, and below it one object for each patch
// with the interface …Patch. packaging/org.openeuler.SysCare1.xml describes both;
// a test compares it with what the service says of itself. Specification:
// https://dbus.freedesktop.org/doc/dbus-specification.html
//
// It may import state, state/metadata and below, godbus, and no program.
//
// # Invariants
//
//   - Whoever may talk to the bus may read. What changes anything asks polkit
//     for org.openeuler.syscare1.manage first, but for root.
//   - Properties are what was seen last; reading one looks at no process.
//   - A client that leaves the bus, or cancels, ends the move that it began: then
//     all processes are as they were before.
//   - Arguments are checked before anybody is asked for a password.
package bus
