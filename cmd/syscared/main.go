package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/openeuler/syscare/state"
	"github.com/openeuler/syscare/state/config"
	"github.com/openeuler/syscare/state/journal"
	"github.com/openeuler/syscare/state/kernelengine"
	"github.com/openeuler/syscare/state/userengine"
)

var version = "dev"

// gcPercent trades processor time, of which a service that mostly waits has plenty,
// for memory.
const gcPercent = 40

func main() {
	userengine.RunGuardIfAsked()
	debug.SetGCPercent(gcPercent)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Stdout, os.Stderr, os.Args)
	stop()
	os.Exit(code)
}

// run executes a command line and returns its exit code.
func run(ctx context.Context, stdout, stderr io.Writer, args []string) int {
	cli.VersionFlag = &cli.BoolFlag{Name: "version", Aliases: []string{"V"}, Usage: "print the version"}
	app := &cli.App{
		Name: "syscared", Usage: "the SysCare service: patches on the bus, and in programs that start", Version: version,
		Writer: stdout, ErrWriter: stderr, HideHelpCommand: true,
		ExitErrHandler: func(*cli.Context, error) {},
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "foreground", Usage: "use no bus: only look after active patches"},
			&cli.DurationFlag{Name: "idle", Usage: "leave the bus after `DURATION` without a call while no patch is active; 0: never (default: from syscare.toml)"},
			&cli.StringFlag{Name: "root", EnvVars: []string{"SYSCARE_ROOT"}, Hidden: true},
			&cli.DurationFlag{Name: "probation", Usage: "blame a patch for crashes in its code for `DURATION` after its activation (default: from syscare.toml)"},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "log each process that is patched"},
		},
		Action: serve,
	}
	err := app.RunContext(ctx, args)
	if err != nil {
		fmt.Fprintf(stderr, "Error: %v\n", err)
		return 1
	}
	return 0
}

func serve(c *cli.Context) error {
	if c.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see syscared --help", c.Args().First())
	}
	if c.IsSet("probation") && c.Duration("probation") <= 0 {
		return errors.New("--probation: want a time above zero, e.g. 60s")
	}
	if os.Geteuid() != 0 {
		return errors.New("processes can only be patched by root: run it with sudo, or as the systemd service")
	}
	level := slog.LevelWarn
	if c.Bool("verbose") {
		level = slog.LevelDebug
	}
	log := slog.New(journal.New(slog.NewTextHandler(c.App.ErrWriter, &slog.HandlerOptions{Level: level})))
	conf, err := config.Load(c.String("root"))
	if err != nil {
		return err
	}
	m, err := state.New(state.Options{Root: c.String("root"), Engine: kernelengine.With(userengine.New(log), log), Logger: log, Settings: userengine.Settings(conf)})
	if err != nil {
		return err
	}
	s := &server{root: c.String("root"), manager: m, log: log, out: c.App.Writer, policy: state.Policy(conf.OnInstall), idle: setting(c, "idle"), probation: setting(c, "probation")}
	s.configure(conf)
	go s.reload(c.Context)
	return s.serve(c.Context, !c.Bool("foreground"))
}

// setting is what the flag says, once and for all, or what is configured.
func setting(c *cli.Context, flag string) *duration {
	s := new(duration)
	if c.IsSet(flag) {
		s.fixed = true
		s.now.Store(int64(c.Duration(flag)))
	}
	return s
}
