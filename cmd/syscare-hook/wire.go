package main

import (
	"log/slog"

	"github.com/openeuler/syscare/state"
)

func runGuardIfAsked() {}

func newEngine(*slog.Logger) state.Engine { return nil }
