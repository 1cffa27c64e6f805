package bus

import (
	"context"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// inhibitWait is how long logind is waited for.
const inhibitWait = 500 * time.Millisecond

// inhibit delays a shutdown or sleep of the machine until the returned function is
// called: processes are not to be killed, nor the disk to go away, in the middle of
// a move. Where logind does not run, nothing is to be delayed. (Package login1 of
// go-systemd would take a connection of its own for each lock, and start logind.)
func (s *Service) inhibit(ctx context.Context) (release func()) {
	ctx, cancel := context.WithTimeout(ctx, inhibitWait)
	defer cancel()
	var fd dbus.UnixFD
	err := s.conn.Object("org.freedesktop.login1", "/org/freedesktop/login1").CallWithContext(ctx,
		"org.freedesktop.login1.Manager.Inhibit", dbus.FlagNoAutoStart, "shutdown:sleep", "SysCare", "live patches are being moved", "delay").Store(&fd)
	if err != nil {
		s.log.Debug("a shutdown would not wait for this", "error", err)
		return func() {}
	}
	return func() { _ = unix.Close(int(fd)) }
}
