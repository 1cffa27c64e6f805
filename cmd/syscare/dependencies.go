package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/openeuler/syscare/specgen"
	"github.com/openeuler/syscare/state/metadata"
)

// dependenciesCommand is for rpmbuild, which gives the files of a package on standard
// input and wants what they provide or require, one relation in a line.
func (p *program) dependenciesCommand() *cli.Command {
	return &cli.Command{
		Name: "rpm-dependencies", Hidden: true, Usage: "tell rpmbuild what a package with a patch provides and requires",
		ArgsUsage: "provides|requires|obsoletes",
		Action: func(c *cli.Context) error {
			kind := c.Args().First()
			if c.NArg() != 1 || specgen.Relations(kind, &metadata.Patch{}) == nil {
				return usagef("`syscare rpm-dependencies` needs one of provides, requires, obsoletes")
			}
			files := bufio.NewScanner(c.App.Reader)
			for files.Scan() {
				if strings.TrimSpace(files.Text()) == "" {
					continue
				}
				data, err := os.ReadFile(files.Text())
				if err != nil {
					return err
				}
				patch, err := metadata.Parse(data)
				if err != nil {
					return fmt.Errorf("%s: %w", files.Text(), err)
				}
				for _, r := range specgen.Relations(kind, patch) {
					fmt.Fprintln(c.App.Writer, r)
				}
			}
			return files.Err()
		},
	}
}
