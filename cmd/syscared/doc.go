// Command syscared is the service. It stands on the system bus, and looks after
// the patches that are active: programs that start, and libraries that are loaded,
// are held until they have their patches, and a patch in whose code a process
// crashes soon after its activation is suspended.
//
// It may import state and below, urfave/cli, godbus and go-systemd. What it does
// is in packages state/bus and state/userengine; here they are put together.
package main
