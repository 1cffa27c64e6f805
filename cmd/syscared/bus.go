package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/openeuler/syscare/state/bus"
)

// busRetry is how often it is tried to reach a bus that is not there: early in the
// boot, or while it is started anew.
const busRetry = 200 * time.Millisecond

// presence is that of the server on the system bus.
type presence struct {
	*server
	refresh func(context.Context)
	began   time.Time
	service atomic.Pointer[bus.Service] // nil while there is no bus
}

// stand stands on the system bus, whenever there is one, until ctx ends.
func (p *presence) stand(ctx context.Context) error {
	for told := false; ; {
		gone, err := p.onBus(ctx)
		if ctx.Err() != nil || !gone {
			return err
		}
		if !told {
			p.log.Warn("waiting for the system bus; patches are looked after meanwhile", "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(busRetry):
		}
	}
}

// onBus stands on the bus until ctx ends or the bus has gone.
func (p *presence) onBus(ctx context.Context) (gone bool, err error) {
	// ctx ends the attempt to connect, and not the connection: calls are answered.
	connecting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, cancel)
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(connecting))
	stop()
	if err != nil {
		return true, fmt.Errorf("connect to the system bus: %w", err)
	}
	defer func() { _ = conn.Close() }() // we are leaving
	defer p.service.Store(nil)
	o := bus.Options{Conn: conn, Manager: p.manager, Root: p.root, Version: version, Logger: p.log, Changed: p.refresh}
	err = bus.Serve(ctx, o, func(s *bus.Service) { p.service.Store(s) })
	return conn.Context().Err() != nil, err
}

// watchIdle ends with errIdle when nothing is active and nobody has called for
// some time.
func (p *presence) watchIdle(ctx context.Context) error {
	for {
		idle := p.idle.get()
		pause := time.Second
		if idle > 0 {
			pause = min(idle/4, pause)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		since := p.began
		if s := p.service.Load(); s != nil {
			since = s.Idle()
		}
		if idle > 0 && p.active.Load() == 0 && !since.IsZero() && time.Since(since) > idle {
			return errIdle
		}
	}
}
