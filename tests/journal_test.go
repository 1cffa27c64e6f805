package tests

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// needJournal starts the system's journal if none runs.
func needJournal(t *testing.T) {
	t.Helper()
	needTools(t, "journalctl")
	const socket = "/run/systemd/journal/socket"
	if _, err := os.Stat(socket); err == nil {
		return
	}
	journald := exec.Command("/lib/systemd/systemd-journald")
	require.NoError(t, journald.Start())
	t.Cleanup(func() {
		_ = journald.Process.Kill()
		_ = journald.Wait()
		_ = os.RemoveAll("/run/systemd/journal") // else programs would write to nobody
	})
	require.Eventually(t, func() bool {
		_, err := os.Stat(socket)
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
}

// The journal has the story of a patch, with fields.
func TestLog(t *testing.T) {
	needJournal(t)
	m := newMachine(t, "greets.c")
	m.patch("HP001", "-DPATCHED")
	began := time.Now()
	m.must("apply", "HP001")
	m.must("accept", "HP001")
	m.must("remove", "HP001")
	type entry struct {
		Message string `json:"MESSAGE"`
		ID      string `json:"MESSAGE_ID"`
		Patch   string `json:"SYSCARE_PATCH"`
		Verb    string `json:"SYSCARE_VERB"`
		To      string `json:"SYSCARE_TO"`
		Result  string `json:"SYSCARE_RESULT"`
		Time    string `json:"__REALTIME_TIMESTAMP"`
	}
	var entries []entry
	require.Eventually(t, func() bool {
		entries = nil
		for line := range strings.Lines(m.must("log", "--json", "HP001")) {
			var e entry
			require.NoError(t, json.Unmarshal([]byte(line), &e))
			if e.Time >= jsonTime(began) {
				entries = append(entries, e)
			}
		}
		return len(entries) == 3
	}, 10*time.Second, 100*time.Millisecond)
	for i, want := range []entry{{Verb: "apply", To: "ACTIVED"}, {Verb: "accept", To: "ACCEPTED"}, {Verb: "remove", To: "NOT-APPLIED"}} {
		require.Equal(t, want.Verb, entries[i].Verb)
		require.Equal(t, want.To, entries[i].To)
		require.Equal(t, "program-1.0-1/HP001-1-1", entries[i].Patch)
		require.Equal(t, "done", entries[i].Result)
		require.Equal(t, "6b9be0b0f5d14f6e8b7b7a3f0e2c5d11", entries[i].ID)
	}
	require.Contains(t, m.must("log", "HP001"), "patch moved: program-1.0-1/HP001-1-1: ACTIVED to ACCEPTED by ")
}

// jsonTime is a time as the journal writes it: microseconds.
func jsonTime(at time.Time) string {
	text, _ := json.Marshal(at.UnixMicro())
	return string(text)
}
