package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"github.com/openeuler/syscare/state"
	"github.com/openeuler/syscare/state/config"
	"github.com/openeuler/syscare/state/userengine"
)

var (
	// errIdle says that there is nothing to do.
	errIdle = errors.New("nothing to do")
	// errReplaced says that the program is to be executed anew.
	errReplaced = errors.New("this program is to be replaced by the one that is installed")
)

// A duration may be set while others read it, unless it is fixed.
type duration struct {
	fixed bool
	now   atomic.Int64
}

func (d *duration) get() time.Duration { return time.Duration(d.now.Load()) }

func (d *duration) configure(to config.Duration) {
	if !d.fixed {
		d.now.Store(int64(to))
	}
}

// server is the service.
type server struct {
	root            string
	manager         *state.Manager
	log             *slog.Logger
	out             io.Writer
	idle, probation *duration
	policy          state.Policy // for patches that nobody has registered
	active          atomic.Int64 // entities; -1 as long as it is not known
}

func (s *server) configure(conf config.Config) {
	s.manager.Configure(userengine.Settings(conf))
	s.idle.configure(conf.Idle)
	s.probation.configure(conf.Probation)
}

// reload reads the configuration again at each SIGHUP. One with errors changes
// nothing.
func (s *server) reload(ctx context.Context) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		notify(daemon.SdNotifyReloading)
		conf, err := config.Load(s.root)
		if err != nil {
			s.log.Error("the configuration stays what it was", "error", err)
		} else {
			s.configure(conf)
			s.log.Info("configuration read again")
		}
		notify(daemon.SdNotifyReady)
	}
}

// serve looks after active patches, and stands on the bus if there is to be one,
// until ctx ends or there is nothing to do. What is active stays so: it is in the
// processes.
func (s *server) serve(ctx context.Context, bus bool) error {
	for {
		err := s.once(ctx, bus)
		if !errors.Is(err, errReplaced) {
			notify(daemon.SdNotifyStopping)
			if errors.Is(err, errIdle) {
				return nil
			}
			return err
		}
		notify(daemon.SdNotifyReloading)
		path, err := os.Executable()
		if err == nil {
			// A second signal would end the new program before it knows of it.
			signal.Ignore(syscall.SIGUSR2)
			err = syscall.Exec(path, os.Args, os.Environ())
		}
		s.log.Error("the program could not be replaced, and goes on", "error", err)
	}
}

func (s *server) once(ctx context.Context, bus bool) error {
	s.active.Store(-1)
	watching := make(chan struct{})
	a, err := userengine.NewAttendant(s.manager, userengine.AttendOptions{
		Root: s.root, Logger: s.log, Probation: s.probation.get,
		Ready: func(active, files int) {
			if s.active.Swap(int64(active)) < 0 {
				notify(daemon.SdNotifyReady)
				close(watching)
			}
			fmt.Fprintf(s.out, "looking after %d files\n", files)
			notify(fmt.Sprintf("STATUS=%d active, %d files watched", active, files))
		},
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.Run(ctx) })
	group.Go(func() error { return pingWatchdog(ctx) })
	group.Go(func() error { return handOver(ctx, a) })
	group.Go(func() error {
		select {
		case <-ctx.Done():
		case <-watching:
			s.reconcile(ctx) // which may have to wait for busy code
		}
		return nil
	})
	if bus {
		presence := &presence{server: s, refresh: a.Refresh, began: time.Now()}
		group.Go(func() error { return presence.stand(ctx) })
		group.Go(func() error { return presence.watchIdle(ctx) })
	}
	return group.Wait()
}

// reconcile does what scripts of packages could not do, in an image for example.
func (s *server) reconcile(ctx context.Context) {
	if _, err := s.manager.Reconcile(ctx, s.policy, state.MoveOptions{Who: "syscared"}); err != nil && ctx.Err() == nil {
		s.log.Warn("not all patches are as their packages want them", "error", err)
	}
}

// handOver ends with errReplaced when SIGUSR2 comes: the program is another one
// after an update.
func handOver(ctx context.Context, a *userengine.Attendant) error {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR2)
	defer signal.Stop(asked)
	select {
	case <-ctx.Done():
		return nil
	case <-asked:
		a.HandOver()
		return errReplaced
	}
}

// notify tells systemd; without it there is nobody to tell.
func notify(what string) { _, _ = daemon.SdNotify(false, what) }

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
