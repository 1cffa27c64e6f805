package bus

import (
	"context"
	"fmt"

	"github.com/godbus/dbus/v5"

	"github.com/openeuler/syscare/state"
)

// authorize returns nil if the sender of a message may change patches. Root may
// without polkit, so that a machine without it can be managed. polkit's interface:
// https://www.freedesktop.org/software/polkit/docs/latest/eggdbus-interface-org.freedesktop.PolicyKit1.Authority.html
func (s *Service) authorize(ctx context.Context, msg *dbus.Message) error {
	sender, _ := msg.Headers[dbus.FieldSender].Value().(string)
	var uid uint32
	err := s.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetConnectionUnixUser", 0, sender).Store(&uid)
	if err != nil {
		return fmt.Errorf("%w: the bus does not know who asks: %w", state.ErrPermission, err)
	}
	if uid == 0 {
		return nil
	}
	type subject struct {
		Kind    string
		Details map[string]dbus.Variant
	}
	var answer struct {
		Authorized, Challenge bool
		Details               map[string]string
	}
	const allowInteraction = 1
	flags := uint32(0)
	if msg.Flags&dbus.FlagAllowInteractiveAuthorization != 0 {
		flags = allowInteraction
	}
	err = s.conn.Object("org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority").CallWithContext(ctx,
		"org.freedesktop.PolicyKit1.Authority.CheckAuthorization", 0,
		subject{"system-bus-name", map[string]dbus.Variant{"name": dbus.MakeVariant(sender)}},
		ManageAction, map[string]string{}, flags, "").Store(&answer)
	switch {
	case err != nil:
		return fmt.Errorf("%w: polkit could not be asked, and only root needs not be: %w", state.ErrPermission, err)
	case answer.Authorized:
		return nil
	case answer.Challenge:
		return fmt.Errorf("%w: this needs the password of an administrator, and the caller does not allow to ask for it", state.ErrPermission)
	}
	return fmt.Errorf("%w: user %d may not do %s", state.ErrPermission, uid, ManageAction)
}
