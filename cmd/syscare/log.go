package main

import (
	"errors"
	"fmt"
	"os/exec"

	"github.com/urfave/cli/v2"
)

// logCommand shows what the journal has of a patch.
func (p *program) logCommand() *cli.Command {
	return &cli.Command{
		Name: "log", Usage: "show what has happened to a patch, from the system's journal", ArgsUsage: "PATCH", Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			ids, err := patchArguments(c)
			if err != nil {
				return err
			}
			if len(ids) > 1 {
				return usagef("`syscare log` takes one patch, not %d", len(ids))
			}
			m, err := p.manager(c)
			if err != nil {
				return err
			}
			uuid, err := m.Identify(ids[0])
			if err != nil {
				return err
			}
			args := []string{"--no-pager", "--quiet", "--output=short-iso"}
			if c.Bool("json") {
				args[2] = "--output=json"
			}
			cmd := exec.CommandContext(c.Context, "journalctl", append(args, "SYSCARE_UUID="+uuid)...)
			cmd.Stdout, cmd.Stderr = c.App.Writer, p.stderr
			err = cmd.Run()
			if errors.Is(err, exec.ErrNotFound) {
				return fmt.Errorf("there is no systemd journal here: %w", err)
			}
			if err != nil {
				return fmt.Errorf("read the journal: %w", err)
			}
			return nil
		},
	}
}
