package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/openeuler/syscare/specgen"
	"github.com/openeuler/syscare/specgen/rpmfile"
)

// advisoryCommand makes what a repository says of patch packages.
func (p *program) advisoryCommand() *cli.Command {
	return &cli.Command{
		Name: "advisory", Usage: "describe patch packages for a repository", ArgsUsage: "PATCH.rpm...",
		Description: "Writes updateinfo.xml with an advisory of the patch packages, which\n" +
			"`modifyrepo_c updateinfo.xml REPOSITORY/repodata` adds to a repository of createrepo_c.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "id", Usage: "`ID` of the advisory (default: the name of the first package)"},
			&cli.StringFlag{Name: "severity", Value: "None", Usage: "`SEVERITY`: " + strings.Join(specgen.Severities, ", ")},
			&cli.StringSliceFlag{Name: "cold", Usage: "`RPM` of the update that fixes the same (may be given more than once)"},
			&cli.TimestampFlag{Name: "issued", Layout: time.DateOnly, Usage: "`DATE`, as in 2026-01-31 (default: when the first package was built)"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "add to `FILE`, or make it (default: print it)"},
		},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef("`syscare advisory` needs the RPM of a patch")
			}
			patches, err := openAll(c.Args().Slice())
			if err != nil {
				return err
			}
			a := specgen.Advisory{ID: c.String("id"), Severity: c.String("severity"), Issued: patches[0].BuildTime}
			if a.ID == "" {
				a.ID = patches[0].FullName()
			}
			if t := c.Timestamp("issued"); t != nil {
				a.Issued = *t
			}
			if a.Cold, err = openAll(c.StringSlice("cold")); err != nil {
				return err
			}
			var earlier []byte
			output := c.String("output")
			if output != "" {
				if earlier, err = os.ReadFile(output); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
			text, err := specgen.WriteAdvisory(earlier, a, patches)
			if err != nil {
				return err
			}
			if output == "" {
				_, err = c.App.Writer.Write(text)
				return err
			}
			return os.WriteFile(output, text, 0o644)
		},
	}
}

func openAll(paths []string) ([]*rpmfile.Package, error) {
	var all []*rpmfile.Package
	for _, path := range paths {
		p, err := rpmfile.Open(path)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}
