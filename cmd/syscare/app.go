package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/openeuler/syscare/specgen/hotpatch"
	"github.com/openeuler/syscare/state"
	"github.com/openeuler/syscare/state/bus"
	"github.com/openeuler/syscare/state/config"
	"github.com/openeuler/syscare/state/journal"
	"github.com/openeuler/syscare/state/userengine"
)

// version is set by the linker for releases.
var version = ""

// program is the command line tool with all that it touches outside itself.
type program struct {
	stdout, stderr io.Writer
	tty            bool // stderr is a terminal
	euid           int
	executable     string
	newEngine      func(*slog.Logger) state.Engine
	connect        func(context.Context) (*bus.Client, error) // to the service; nil: there is none
	build          func(context.Context, hotpatch.Request) (hotpatch.Result, error)

	log *slog.Logger
}

// logs makes the logger.
func (p *program) logs(verbose bool) {
	level := slog.LevelError
	if verbose {
		level = slog.LevelInfo
	}
	p.log = slog.New(journal.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: level})))
}

// run executes one command line and returns its exit code.
func (p *program) run(ctx context.Context, args []string) int {
	app := p.app()
	err := app.RunContext(ctx, normalise(app, args))
	if err != nil {
		printError(p.stderr, err)
	}
	return exitCode(err)
}

func (p *program) app() *cli.App {
	// The package's -v would take the place of --verbose.
	cli.VersionFlag = &cli.BoolFlag{Name: "version", Aliases: []string{"V"}, Usage: "print the version"}
	cli.VersionPrinter = func(c *cli.Context) { fmt.Fprintf(c.App.Writer, "syscare %s\n", c.App.Version) }
	app := &cli.App{
		Name: "syscare", HelpName: "syscare", Usage: "make and manage live patches", Version: versionString(),
		Description: "A PATCH is a UUID, PACKAGE/PATCH or PATCH, for example redis-6.2.5-1/HP001-1-1,\n" +
			"redis-6.2.5-1/HP001, HP001-1-1 or HP001.\n\n" +
			"Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 busy, 5 refused.",
		Writer: p.stdout, ErrWriter: p.stderr, EnableBashCompletion: true, HideHelpCommand: true,
		DisableSliceFlagSeparator: true, Suggest: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "root", Value: "/", EnvVars: []string{"SYSCARE_ROOT"}, Usage: "use the patches, states and lock under `DIR`"},
			&cli.BoolFlag{Name: "direct", Usage: "do the work here, even if there is a SysCare service"},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "tell more"},
		},
		Before: func(c *cli.Context) error {
			p.logs(c.Bool("verbose"))
			return nil
		},
		Action:         noCommand,
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   onUsageError,
		Commands: []*cli.Command{
			p.buildCommand(), p.listCommand(), p.infoCommand(), p.statusCommand(), p.targetCommand(), p.checkCommand(),
			p.applyCommand(), p.removeCommand(), p.activeCommand(), p.deactiveCommand(), p.acceptCommand(),
			p.saveCommand(), p.restoreCommand(), p.rescanCommand(), p.logCommand(), p.metricsCommand(),
			p.inspectCommand(), p.diffCommand(), p.advisoryCommand(), p.dependenciesCommand(), p.manCommand(),
		},
	}
	for _, cmd := range app.Commands {
		cmd.OnUsageError, cmd.HideHelpCommand = onUsageError, true
		if cmd.BashComplete == nil && strings.HasPrefix(cmd.ArgsUsage, "PATCH") {
			cmd.BashComplete = p.completePatches
		}
	}
	return app
}

func noCommand(c *cli.Context) error {
	if name := c.Args().First(); name != "" {
		return usagef("there is no command %q; see `syscare --help`", name)
	}
	return cli.ShowAppHelp(c)
}

func onUsageError(_ *cli.Context, err error, _ bool) error {
	return usagef("%w; see `syscare --help`", err)
}

// versionString is the linker's version or the one of the module.
func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// raises are the commands that bring code into processes.
var raises = map[string]bool{"apply": true, "active": true, "restore": true, "rescan": true}

func (p *program) manager(c *cli.Context) (*state.Manager, error) {
	conf, err := config.Load(c.String("root"))
	if err != nil && raises[c.Command.Name] {
		return nil, err
	}
	if err != nil { // what only looks, or takes out, goes on
		fmt.Fprintf(p.stderr, "Warning: %v\n", err)
	}
	return state.New(state.Options{Root: c.String("root"), Engine: p.newEngine(p.log), Logger: p.log, Settings: userengine.Settings(conf)})
}

// needRoot is the first thing that commands do which change something.
func (p *program) needRoot(c *cli.Context) error {
	if p.euid != 0 {
		return fmt.Errorf("%w: `syscare %s` changes processes and system files; run it as root, e.g. with sudo", state.ErrPermission, c.Command.Name)
	}
	return nil
}

// completePatches offers the names of installed patches to the shell.
func (p *program) completePatches(c *cli.Context) {
	// Completion runs without Before.
	p.log = slog.New(slog.DiscardHandler)
	m, err := p.manager(c)
	if err != nil {
		return
	}
	all, err := m.Installed()
	if err != nil {
		return
	}
	for _, patch := range all {
		fmt.Fprintln(c.App.Writer, patch.FullName())
	}
}

func (p *program) manCommand() *cli.Command {
	return &cli.Command{Name: "man", Usage: "write the manual page", Hidden: true, Action: func(c *cli.Context) error {
		page, err := c.App.ToManWithSection(8)
		if err != nil {
			return err
		}
		_, err = io.WriteString(c.App.Writer, page)
		return err
	}}
}
