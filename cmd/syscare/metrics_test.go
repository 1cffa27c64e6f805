package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/state"
)

func TestMetrics(t *testing.T) {
	var b strings.Builder
	require.NoError(t, writeMetrics(&b, []state.Status{{UUID: "u1", Name: "a \"b\"\nc", State: state.Actived, Running: 3, Patched: 2}}))
	const labels = `uuid="u1",patch="a \"b\"\nc"`
	require.Equal(t, `# TYPE syscare_patch_state stateset
# HELP syscare_patch_state State of a patch.
syscare_patch_state{`+labels+`,syscare_patch_state="UNKNOWN"} 0
syscare_patch_state{`+labels+`,syscare_patch_state="NOT-APPLIED"} 0
syscare_patch_state{`+labels+`,syscare_patch_state="DEACTIVED"} 0
syscare_patch_state{`+labels+`,syscare_patch_state="ACTIVED"} 1
syscare_patch_state{`+labels+`,syscare_patch_state="ACCEPTED"} 0
# TYPE syscare_patch_processes_running gauge
# HELP syscare_patch_processes_running Processes that run a target of the patch.
syscare_patch_processes_running{`+labels+`} 3
# TYPE syscare_patch_processes_patched gauge
# HELP syscare_patch_processes_patched Processes that run the code of the patch.
syscare_patch_processes_patched{`+labels+`} 2
# EOF
`, b.String())
}
