package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/openeuler/syscare/specgen/hotpatch"
	"github.com/openeuler/syscare/state/bus"
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
		euid: os.Geteuid(), executable: exe, newEngine: userengine.New, connect: bus.Connect, build: hotpatch.Build,
	}
}
