package specgen

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/specgen/rpmfile"
)

func TestAdvisory(t *testing.T) {
	binary, _ := makeBoth(t, sampleContent(t))
	patch, err := rpmfile.Open(binary)
	require.NoError(t, err)
	cold := &rpmfile.Package{Path: "/somewhere/redis-6.2.6-1.x86_64.rpm", Name: "redis", Version: "6.2.6", Release: "1", Arch: "x86_64"}
	const foreign = `<updates><rights>all</rights><update from="else" type="bugfix"><id>OTHER-1</id><pushcount>7</pushcount></update></updates>`
	a := Advisory{ID: "SA-1", Severity: "Low", Issued: time.Unix(0, 0)}
	text, err := WriteAdvisory([]byte(foreign), a, []*rpmfile.Package{patch})
	require.NoError(t, err)
	a.Severity, a.Cold = "Critical", []*rpmfile.Package{cold}
	text, err = WriteAdvisory(text, a, []*rpmfile.Package{patch})
	require.NoError(t, err)
	got := string(text)
	assert.Contains(t, got, `<update from="else" type="bugfix"><id>OTHER-1</id><pushcount>7</pushcount></update>`, "nothing of others is lost")
	assert.Equal(t, 1, strings.Count(got, "<id>SA-1</id>"), "it is replaced")
	for _, part := range []string{
		"<severity>Critical</severity>", `<issued date="1970-01-01 00:00:00"></issued>`,
		`id="CVE-2021-32675" title="CVE-2021-32675" type="cve"`, `id="CVE-2022-24834"`,
		`<package name="redis" version="6.2.6" release="1" epoch="0" arch="x86_64">`, "<filename>redis-6.2.6-1.x86_64.rpm</filename>",
	} {
		assert.Contains(t, got, part)
	}
	_, hot, _ := strings.Cut(got, "<hot_patch_collection")
	assert.Contains(t, hot, `<package name="`+patch.Name+`"`)

	for _, row := range []struct {
		says     string
		earlier  string
		advisory Advisory
		packages []*rpmfile.Package
	}{
		{"empty or not printable", "", Advisory{Severity: "Low"}, []*rpmfile.Package{patch}},
		{"empty or not printable", "", Advisory{ID: "a b", Severity: "Low"}, []*rpmfile.Package{patch}},
		{`severity "bad" is none of Critical, Important`, "", Advisory{ID: "x", Severity: "bad"}, []*rpmfile.Package{patch}},
		{"needs a patch package", "", Advisory{ID: "x", Severity: "Low"}, nil},
		{"redis-6.2.6-1.x86_64.rpm: not the package of a live patch", "", Advisory{ID: "x", Severity: "Low"}, []*rpmfile.Package{cold}},
		{"not an updateinfo document", "<updates>", Advisory{ID: "x", Severity: "Low"}, []*rpmfile.Package{patch}},
		{"not an updateinfo document", "<other/>", Advisory{ID: "x", Severity: "Low"}, []*rpmfile.Package{patch}},
	} {
		_, err := WriteAdvisory([]byte(row.earlier), row.advisory, row.packages)
		require.ErrorContains(t, err, row.says)
	}
}
