package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/openeuler/syscare/state"
	"github.com/openeuler/syscare/state/metadata"
)

func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "print JSON"} }

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("`syscare %s` takes no argument %q", c.Command.Name, c.Args().First())
	}
	return nil
}

// patchArguments are the identifiers on the command line, at least one.
func patchArguments(c *cli.Context) ([]string, error) {
	if !c.Args().Present() {
		return nil, usagef("`syscare %s` needs a patch, e.g. redis-6.2.5-1/HP001; `syscare list` shows all", c.Command.Name)
	}
	return c.Args().Slice(), nil
}

func (p *program) listCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list all patches and their states", Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			all, err := p.listAll(c)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c.App.Writer, all)
			}
			printList(c.App.Writer, all)
			for _, st := range all {
				p.explainStatus(c, st)
			}
			return nil
		},
	}
}

// listAll gives the status of all patches, for a command without arguments.
func (p *program) listAll(c *cli.Context) ([]state.Status, error) {
	if err := noArguments(c); err != nil {
		return nil, err
	}
	from, done, err := p.looker(c)
	if err != nil {
		return nil, err
	}
	defer done()
	return from.List(c.Context)
}

func printList(w io.Writer, all []state.Status) {
	const row = "%-40s %-60s %-12s"
	line := func(uuid, name, st string) {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf(row, uuid, name, st), " "))
	}
	line("Uuid", "Name", "Status")
	for _, st := range all {
		line(st.UUID, st.Name, string(st.State))
	}
}

// explainStatus tells on stderr what is wrong with a patch and, with
// --verbose, all there is to know.
func (p *program) explainStatus(c *cli.Context, st state.Status) {
	if st.Problem != "" {
		fmt.Fprintf(p.stderr, "Warning: %s: %s\n", st.Name, st.Problem)
	}
	if !c.Bool("verbose") {
		return
	}
	for _, n := range st.Notes {
		fmt.Fprintf(p.stderr, "  %s: %s\n", st.Name, n)
	}
	for _, proc := range st.Processes {
		is := "not patched"
		if proc.Patched {
			is = "patched"
		} else if proc.Loaded {
			is = "loaded, not active"
		}
		fmt.Fprintf(p.stderr, "  process %d (%s%s), %s: %s\n", proc.PID, printable(proc.Name), whereabouts(proc), proc.Entity, is)
	}
}

// whereabouts names the systemd unit and the container of a process.
func whereabouts(p state.ProcessStatus) string {
	var in string
	if p.Unit != "" {
		in += ", " + printable(p.Unit)
	}
	if p.Container != "" {
		in += ", container " + printable(p.Container)
	}
	return in
}

func (p *program) statusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "show the state of patches", ArgsUsage: "PATCH...", Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			from, done, err := p.looker(c)
			if err != nil {
				return err
			}
			defer done()
			all, err := query(p, c, func(_ *state.Manager, id string) (state.Status, error) { return from.Status(c.Context, id) })
			if c.Bool("json") && len(all) > 0 {
				return errors.Join(printJSON(c.App.Writer, all), err)
			}
			for _, st := range all {
				fmt.Fprintf(c.App.Writer, "%s: %s\n", st.Name, st.State)
				p.explainStatus(c, st)
			}
			return err
		},
	}
}

func (p *program) infoCommand() *cli.Command {
	return &cli.Command{
		Name: "info", Usage: "show what patches are", ArgsUsage: "PATCH...", Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			all, err := query(p, c, func(m *state.Manager, id string) (*metadata.Patch, error) { return m.Info(c.Context, id) })
			if c.Bool("json") && len(all) > 0 {
				return errors.Join(printJSON(c.App.Writer, all), err)
			}
			for i, meta := range all {
				if i > 0 {
					fmt.Fprintln(c.App.Writer)
				}
				printInfo(c.App.Writer, meta)
			}
			return err
		},
	}
}

func printInfo(w io.Writer, meta *metadata.Patch) {
	var elves []string
	for _, e := range meta.Entities {
		elves = append(elves, e.Name)
	}
	for _, f := range [][2]string{
		{"uuid", meta.UUID}, {"name", meta.Name}, {"version", meta.Version}, {"release", meta.Release}, {"arch", meta.Arch},
		{"type", string(meta.Type)}, {"target", meta.Target.FullName()}, {"target_elf", strings.Join(elves, ", ")},
		{"digest", meta.Digest}, {"license", meta.License}, {"description", meta.Description},
	} {
		fmt.Fprintf(w, "%-12s %s\n", f[0]+":", printable(f[1]))
	}
	fmt.Fprintln(w, "patch:")
	for _, s := range meta.Patches {
		fmt.Fprintln(w, printable(s.Name))
	}
}

// printable keeps text of a package from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

func (p *program) targetCommand() *cli.Command {
	type target struct {
		UUID   string           `json:"uuid"`
		Patch  string           `json:"patch"`
		Target metadata.Package `json:"target"`
	}
	return &cli.Command{
		Name: "target", Usage: "show which package patches are for", ArgsUsage: "PATCH...", Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			all, err := query(p, c, func(m *state.Manager, id string) (target, error) {
				meta, err := m.Info(c.Context, id)
				if err != nil {
					return target{}, err
				}
				return target{meta.UUID, meta.FullName(), meta.Target}, nil
			})
			if c.Bool("json") && len(all) > 0 {
				return errors.Join(printJSON(c.App.Writer, all), err)
			}
			for _, t := range all {
				fmt.Fprintf(c.App.Writer, "%s: %s\n", t.Patch, t.Target.FullName())
			}
			return err
		},
	}
}

func (p *program) checkCommand() *cli.Command {
	type verdict struct {
		Patch  string `json:"patch"`
		Fits   bool   `json:"fits"`
		Reason string `json:"reason,omitempty"`
	}
	return &cli.Command{
		Name: "check", Usage: "tell whether patches can be applied; prints nothing if so", ArgsUsage: "PATCH...", Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			var verdicts []verdict
			_, err := query(p, c, func(m *state.Manager, id string) (verdict, error) {
				err := m.Check(c.Context, id)
				v := verdict{Patch: id, Fits: err == nil}
				if err != nil {
					v.Reason = err.Error()
				}
				verdicts = append(verdicts, v)
				return v, err
			})
			if c.Bool("json") && len(verdicts) > 0 {
				return errors.Join(printJSON(c.App.Writer, verdicts), err)
			}
			return err
		},
	}
}

// query asks about each patch on the command line. One that fails does not
// hold up the others.
func query[T any](p *program, c *cli.Context, ask func(*state.Manager, string) (T, error)) ([]T, error) {
	ids, err := patchArguments(c)
	if err != nil {
		return nil, err
	}
	m, err := p.manager(c)
	if err != nil {
		return nil, err
	}
	var answers []T
	var errs []error
	for _, id := range ids {
		a, err := ask(m, id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		answers = append(answers, a)
	}
	return answers, joined(errs)
}

// joined is errors.Join that leaves a single error as it is.
func joined(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}
