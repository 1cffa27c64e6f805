package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/openeuler/syscare/state"
)

// metricsCommand writes what node_exporter's textfile collector reads.
func (p *program) metricsCommand() *cli.Command {
	return &cli.Command{
		Name: "metrics", Usage: "print states of patches and processes as OpenMetrics text", Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			all, err := p.listAll(c)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(c.App.Writer, all)
			}
			return writeMetrics(c.App.Writer, all)
		},
	}
}

// states are those that a patch can be in.
var states = []state.State{state.Unknown, state.NotApplied, state.Deactived, state.Actived, state.Accepted}

// writeMetrics writes OpenMetrics text, version 1.0.0: a state set and two gauges
// for each patch.
func writeMetrics(w io.Writer, all []state.Status) error {
	var b strings.Builder
	b.WriteString("# TYPE syscare_patch_state stateset\n# HELP syscare_patch_state State of a patch.\n")
	for _, st := range all {
		for _, s := range states {
			is := 0
			if s == st.State {
				is = 1
			}
			fmt.Fprintf(&b, "syscare_patch_state{uuid=%s,patch=%s,syscare_patch_state=%s} %d\n", label(st.UUID), label(st.Name), label(string(s)), is)
		}
	}
	for _, gauge := range []struct {
		name, help string
		of         func(state.Status) int
	}{
		{"syscare_patch_processes_running", "Processes that run a target of the patch.", func(st state.Status) int { return st.Running }},
		{"syscare_patch_processes_patched", "Processes that run the code of the patch.", func(st state.Status) int { return st.Patched }},
	} {
		fmt.Fprintf(&b, "# TYPE %s gauge\n# HELP %[1]s %s\n", gauge.name, gauge.help)
		for _, st := range all {
			fmt.Fprintf(&b, "%s{uuid=%s,patch=%s} %d\n", gauge.name, label(st.UUID), label(st.Name), gauge.of(st))
		}
	}
	b.WriteString("# EOF\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// label quotes the value of a label.
func label(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
