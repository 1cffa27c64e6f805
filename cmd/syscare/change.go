package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/openeuler/syscare/state"
)

// tuningFlags are those of the commands that change processes.
func tuningFlags() []cli.Flag {
	return []cli.Flag{
		&cli.DurationFlag{Name: "timeout", Usage: "wait at most `DURATION` (e.g. 10s) for code that is in use"},
		&cli.BoolFlag{Name: "best-effort", Usage: "keep what worked instead of all or nothing"},
	}
}

func forceFlag() cli.Flag {
	return &cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "do not wait for calls in progress; allow patches that fit nothing yet"}
}

// objectFlags make a command work on one process without any package.
func objectFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "object", Usage: "work with the patch object `FILE` in one process, or with a livepatch module (FILE.ko) in the kernel"},
		&cli.IntFlag{Name: "pid", Usage: "process `PID` for --object"},
	}
}

func moveOptions(c *cli.Context) state.MoveOptions {
	return state.MoveOptions{
		Timeout: c.Duration("timeout"), Force: c.Bool("force"), BestEffort: c.Bool("best-effort"),
		Who: cmp.Or(os.Getenv("SUDO_USER"), os.Getenv("USER"), "root"),
	}
}

func checkTuning(c *cli.Context) error {
	if t := c.Duration("timeout"); t < 0 || c.IsSet("timeout") && t == 0 {
		return usagef("--timeout %v: want a time above zero, e.g. 10s", t)
	}
	return nil
}

func (p *program) moveCommand(verb state.Verb, usage string, flags []cli.Flag) *cli.Command {
	return &cli.Command{Name: string(verb), Usage: usage, ArgsUsage: "PATCH...", Flags: flags, Action: func(c *cli.Context) error {
		if err := checkTuning(c); err != nil {
			return err
		}
		ids, err := patchArguments(c)
		if err != nil {
			return err
		}
		return p.moveAll(c, ids, verb)
	}}
}

// moveAll moves each patch; all must exist before the first one is moved, and
// one that fails does not hold up the others.
func (p *program) moveAll(c *cli.Context, ids []string, verb state.Verb) error {
	w, done, err := p.worker(c)
	if err != nil {
		return err
	}
	defer done()
	if err := w.Resolve(c.Context, ids...); err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		res, err := w.Move(c.Context, verb, id, moveOptions(c))
		if err != nil {
			errs = append(errs, err)
			if c.Err() != nil {
				break
			}
			continue
		}
		p.printResult(c, res)
	}
	return joined(errs)
}

func (p *program) printResult(c *cli.Context, res state.Result) {
	for _, n := range res.Notes {
		fmt.Fprintf(p.stderr, "Warning: %s\n", n)
	}
	for _, f := range res.Failures {
		fmt.Fprintf(p.stderr, "Warning: %s: left out: %v\n", res.Name, f)
	}
	if !c.Bool("verbose") {
		return
	}
	for _, r := range res.Reports {
		printReport(c.App.Writer, r)
	}
	fmt.Fprintf(c.App.Writer, "%s: %s\n", res.Name, res.To)
}

// printReport tells what was done in one process, in one line.
func printReport(w io.Writer, r state.Report) {
	var parts []string
	for _, part := range r.Parts {
		parts = append(parts, fmt.Sprintf("%s %d", part.Name, part.Time.Microseconds()))
	}
	fmt.Fprintf(w, "process %d (%s): %s [%s], %s, %s, stopped for %d µs",
		r.Process.PID, r.Process.Name, count(len(r.Functions), "function"), strings.Join(r.Functions, ", "),
		count(r.Attempts, "attempt"), count(r.Threads, "thread"), r.Pause.Round(time.Microsecond).Microseconds())
	if len(parts) > 0 {
		fmt.Fprintf(w, " (%s)", strings.Join(parts, ", "))
	}
	fmt.Fprintln(w)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (p *program) applyCommand() *cli.Command {
	flags := append(append(tuningFlags(), forceFlag()), objectFlags()...)
	cmd := p.moveCommand(state.VerbApply, "load and activate patches", flags)
	cmd.Action = p.orObject(cmd.Action, state.Active)
	return cmd
}

func (p *program) removeCommand() *cli.Command {
	flags := append(append(tuningFlags(), forceFlag()), objectFlags()...)
	cmd := p.moveCommand(state.VerbRemove, "deactivate and unload patches", flags)
	cmd.Action = p.orObject(cmd.Action, state.Absent)
	return cmd
}

func (p *program) activeCommand() *cli.Command {
	cmd := p.moveCommand(state.VerbActive, "activate loaded patches", append(tuningFlags(), forceFlag()))
	cmd.Aliases = []string{"activate"}
	return cmd
}

func (p *program) deactiveCommand() *cli.Command {
	cmd := p.moveCommand(state.VerbDeactive, "deactivate patches and leave them loaded", append(tuningFlags(), forceFlag()))
	cmd.Aliases = []string{"deactivate"}
	return cmd
}

func (p *program) acceptCommand() *cli.Command {
	return p.moveCommand(state.VerbAccept, "accept active patches: they come back after a boot", nil)
}

func (p *program) saveCommand() *cli.Command {
	return &cli.Command{Name: "save", Usage: "save the states of all patches", Action: func(c *cli.Context) error {
		w, done, err := p.writer(c)
		if err != nil {
			return err
		}
		defer done()
		n, err := w.Save(c.Context)
		if err == nil && c.Bool("verbose") {
			fmt.Fprintf(c.App.Writer, "saved the states of %d patches\n", n)
		}
		return err
	}}
}

func (p *program) restoreCommand() *cli.Command {
	return &cli.Command{
		Name: "restore", Usage: "restore the saved states of all patches",
		Flags: append(append(tuningFlags(), forceFlag()), &cli.BoolFlag{Name: "accepted", Usage: "restore accepted patches only"}),
		Action: func(c *cli.Context) error {
			w, done, err := p.writer(c)
			if err != nil {
				return err
			}
			defer done()
			results, err := w.Restore(c.Context, c.Bool("accepted"), moveOptions(c))
			for _, r := range results {
				p.printResult(c, r)
			}
			return err
		},
	}
}

func (p *program) rescanCommand() *cli.Command {
	return &cli.Command{
		Name: "rescan", Usage: "look at patches and processes again and make them agree", Flags: tuningFlags()[:1],
		Action: func(c *cli.Context) error {
			w, done, err := p.writer(c)
			if err != nil {
				return err
			}
			defer done()
			results, err := w.Rescan(c.Context, moveOptions(c))
			for _, r := range results {
				p.printResult(c, r)
			}
			return err
		},
	}
}

// writer is the worker for a changing command without patch arguments.
func (p *program) writer(c *cli.Context) (worker, func(), error) {
	if err := errors.Join(checkTuning(c), noArguments(c)); err != nil {
		return nil, nil, err
	}
	return p.worker(c)
}
