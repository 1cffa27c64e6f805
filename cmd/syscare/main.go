package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/openeuler/syscare/specgen/hotpatch"
	"github.com/openeuler/syscare/state"
	"github.com/openeuler/syscare/state/bus"
	"github.com/openeuler/syscare/state/kernelengine"
	"github.com/openeuler/syscare/state/userengine"
)

func main() {
	userengine.RunGuardIfAsked()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	code := newProgram().run(ctx, os.Args)
	stop()
	os.Exit(code)
}

func newProgram() *program {
	exe, _ := os.Executable() // "" finds the helpers in their installed place
	return &program{
		stdout: os.Stdout, stderr: os.Stderr, tty: term.IsTerminal(int(os.Stderr.Fd())),
		euid: os.Geteuid(), executable: exe, newEngine: newEngine, connect: bus.Connect, build: hotpatch.Build,
	}
}

// newEngine reaches processes and the kernel.
func newEngine(log *slog.Logger) state.Engine { return kernelengine.With(userengine.New(log), log) }
