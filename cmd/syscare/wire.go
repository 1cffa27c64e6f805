package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/openeuler/syscare/state"
)

// buildRequest is what `build` asks of the builder.
type buildRequest struct {
	PatchName, PatchArch, PatchVersion, PatchRelease, Description string
	Sources, Debuginfo, Patches                                   []string
	WorkDir, Output                                               string
	Jobs                                                          int
	SkipCompilerCheck, SkipCleanup, Verbose                       bool
	Front                                                         string // path of syscare-cc
	Progress                                                      func(stage string, done, total int)
	Logger                                                        *slog.Logger
}

// buildResult is what a build made.
type buildResult struct {
	PatchRPM, SourceRPM string
	Warnings            []string
}

type buildFunc func(context.Context, buildRequest) (buildResult, error)

// hotpatchBuild refuses: this build has no package builder.
func hotpatchBuild(context.Context, buildRequest) (buildResult, error) {
	return buildResult{}, fmt.Errorf("%w: this build of SysCare cannot build patches", state.ErrUnsupported)
}
