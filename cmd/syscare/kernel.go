package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/openeuler/syscare/engine/kernel"
	"github.com/openeuler/syscare/state"
	"github.com/openeuler/syscare/state/kernelengine"
)

// bringModule takes a livepatch module into the kernel or out of it.
func bringModule(c *cli.Context, want state.Presence) error {
	m, err := kernel.Open(c.String("object"))
	if err != nil {
		return kernelengine.Translate(err)
	}
	options := kernel.Options{Timeout: c.Duration("timeout")}
	if want == state.Active {
		err = kernel.Enable(c.Context, m, options)
	} else {
		err = kernel.Remove(c.Context, m.Name, options)
	}
	if err != nil {
		return fmt.Errorf("cannot %s %s: %w", c.Command.Name, c.String("object"), kernelengine.Translate(err))
	}
	return nil
}
