package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/engine/build"
	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/state/metadata"
)

func TestLinesOfAFix(t *testing.T) {
	fix := Fix{Text: "Subject: fix\n--- a/x.c\n+++ b/x.c\n@@ -1,3 +1,3 @@ f()\n int a;\n--- a;\n+++ a;\n\\ No newline at end of file\n int b;\n--- a/y.c\n+++ b/y.c\n@@ -1 +1,2 @@\n-x\n+y\n+z\n-- \n2.39\n"}
	var classes []string
	for _, l := range fix.Lines() {
		classes = append(classes, l.Class)
	}
	assert.Equal(t, []string{
		"", "file", "file", "hunk", "", "del", "add", "", "", "file", "file", "hunk", "del", "add", "add", "", "",
	}, classes)
}

// Nothing that comes from a package or a patch is taken for markup.
func TestPageEscapes(t *testing.T) {
	const evil = `<script>alert("x")</script>`
	var page bytes.Buffer
	require.NoError(t, Write(&page, Input{
		Patch: &metadata.Patch{Name: "HP1", Description: evil}, Source: evil, Fixes: []Fix{{evil, "+" + evil}},
		Checks: []string{evil}, Notes: []string{evil}, Tool: evil,
	}))
	assert.NotContains(t, strings.ToLower(page.String()), "<script")
	assert.Equal(t, 7, strings.Count(page.String(), "&lt;script&gt;alert"))
	require.Error(t, Write(&page, Input{Patch: &metadata.Patch{}, Entities: []build.Entity{{Object: []byte("none")}}}))
}

func TestWhy(t *testing.T) {
	for want, c := range map[string]diff.Content{
		"changed by the fix":                   {Reason: diff.Changed},
		"has a, b inlined, changed by the fix": {Reason: diff.Inlined, Of: []string{"a", "b"}},
		"clone of f, changed by the fix":       {Name: "f.isra.0", Reason: diff.Clone, Of: []string{"f"}},
		"new":                                  {Reason: diff.New},
		"new, used by f":                       {Reason: diff.New, Of: []string{"f"}},
		"part of f":                            {Name: "f.cold", Function: true, Reason: diff.Needed, Of: []string{"f"}},
		"used by f":                            {Name: "f.table", Reason: diff.Needed, Of: []string{"f"}},
		"called when the patch is applied or removed": {Reason: diff.Hook},
	} {
		assert.Equal(t, want, Why(c))
	}
	assert.Contains(t, Why(diff.Content{Reason: diff.Affected}), "compiled to other code")
	assert.Equal(t, "a.h:3", Place(diff.Content{Unit: "a.c", File: "a.h", Line: 3}))
	assert.Equal(t, "a.c", Place(diff.Content{Unit: "a.c"}))
}
