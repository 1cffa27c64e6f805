// Command syscared looks after the patches that are active: programs that start,
// and libraries that are loaded, are held until they have their patches, and a
// patch in whose code a process crashes soon after its activation is suspended.
//
// It may import state, state/userengine, urfave/cli and go-systemd. Everything
// that it does is in package userengine.
package main
