package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sync/errgroup"

	"github.com/openeuler/syscare/state"
	"github.com/openeuler/syscare/state/bus"
	"github.com/openeuler/syscare/state/userengine"
)

// errIdle says that there is nothing to do.
var errIdle = errors.New("nothing to do")

// onBus stands on the system bus and looks after active patches until ctx ends or
// there is nothing to do. What is active stays so: it is in the processes.
func onBus(ctx context.Context, m *state.Manager, attend userengine.AttendOptions, idle time.Duration) error {
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		return fmt.Errorf("connect to the system bus: %w; --foreground needs none", err)
	}
	defer func() { _ = conn.Close() }() // we are leaving
	var active atomic.Int64
	active.Store(-1) // not known yet
	attended := attend.Ready
	attend.Ready = func(n, files int) {
		active.Store(int64(n))
		attended(n, files)
		notify(fmt.Sprintf("STATUS=%d active, %d files watched", n, files))
	}
	a, err := userengine.NewAttendant(m, attend)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.Run(ctx) })
	group.Go(func() error {
		o := bus.Options{Conn: conn, Manager: m, Root: attend.Root, Version: version, Logger: attend.Logger, Changed: a.Refresh}
		return bus.Serve(ctx, o, func(s *bus.Service) {
			notify(daemon.SdNotifyReady)
			group.Go(func() error { return watchIdle(ctx, s, &active, idle) })
		})
	})
	group.Go(func() error { return pingWatchdog(ctx) })
	err = group.Wait()
	notify(daemon.SdNotifyStopping)
	if errors.Is(err, errIdle) {
		return nil
	}
	return err
}

// notify tells systemd; without it there is nobody to tell.
func notify(what string) { _, _ = daemon.SdNotify(false, what) }

// watchIdle ends with errIdle when nothing is active and nobody has called for
// some time.
func watchIdle(ctx context.Context, s *bus.Service, active *atomic.Int64, idle time.Duration) error {
	if idle <= 0 {
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(idle/4, time.Second)):
		}
		since := s.Idle()
		if active.Load() == 0 && !since.IsZero() && time.Since(since) > idle {
			return errIdle
		}
	}
}

// pingWatchdog tells systemd's watchdog that we live, if it wants to know.
func pingWatchdog(ctx context.Context) error {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every / 2):
			notify(daemon.SdNotifyWatchdog)
		}
	}
}
