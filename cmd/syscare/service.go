package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/openeuler/syscare/state"
	"github.com/openeuler/syscare/state/bus"
)

// worker does what changes patches: the service, or a manager in this process.
type worker interface {
	Resolve(ctx context.Context, ids ...string) error
	Move(ctx context.Context, verb state.Verb, id string, o state.MoveOptions) (state.Result, error)
	Save(ctx context.Context) (int, error)
	Restore(ctx context.Context, acceptedOnly bool, o state.MoveOptions) ([]state.Result, error)
	Rescan(ctx context.Context, o state.MoveOptions) ([]state.Result, error)
}

// worker finds the service or, if there is none, works here, which needs root.
func (p *program) worker(c *cli.Context) (w worker, done func(), err error) {
	if c.String("root") == "/" && !c.Bool("direct") && p.connect != nil {
		client, err := p.connect(c.Context)
		if err == nil {
			client.Interactive = p.tty
			return client, func() { _ = client.Close() }, nil
		}
		if !errors.Is(err, bus.ErrNoService) {
			return nil, nil, err
		}
		p.log.Info("working without a service", "reason", err)
	}
	if err := p.needRoot(c); err != nil {
		return nil, nil, err
	}
	m, err := p.manager(c)
	return m, func() {}, err
}

// looker tells the states of patches.
type looker interface {
	List(ctx context.Context) ([]state.Status, error)
	Status(ctx context.Context, id string) (state.Status, error)
}

// looker is a manager in this process or, for users who may not look into all
// processes, the service if there is one.
func (p *program) looker(c *cli.Context) (looker, func(), error) {
	if p.euid != 0 && c.String("root") == "/" && !c.Bool("direct") && p.connect != nil {
		if client, err := p.connect(c.Context); err == nil {
			return client, func() { _ = client.Close() }, nil
		}
	}
	m, err := p.manager(c)
	return m, func() {}, err
}
