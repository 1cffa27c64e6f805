package specgen

import (
	_ "embed"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/openeuler/syscare/rpmhooks"
)

//go:embed spec.tmpl
var specText string

var specTemplate = template.Must(template.New("spec").Parse(specText))

// specFields is what the template shows; free text is escaped.
type specFields struct {
	UUID, Root              string
	SourceName, PackageName string
	Version, Release, Arch  string
	Summary, License, Group string
	Description, Changes    string
	Sources                 []string
	Installed               []string
	Requires, Provides      []relation
	Obsoletes               []relation
	PostTrans, PreUn        string
	Date, Packager, Home    string
}

// spec gives the recipe of the patch's source package. Sources are the files
// beside it in the order of their numbers; installed are those of them that
// make the patch package.
func (c *Content) spec(sources []file, installed []file) (string, error) {
	p := c.Patch
	fields := specFields{
		UUID: p.UUID, Root: PatchRoot,
		SourceName: p.SourceName(), PackageName: p.PackageName(),
		Version: p.Version, Release: p.Release, Arch: p.Arch,
		Summary: escape(summary(p)), License: escape(strings.TrimSpace(p.License)), Group: group,
		Description: escape(description(p)), Changes: escape(changes(p)),
		Requires: requires(p), Provides: provides(p), Obsoletes: obsoletes(p),
		PostTrans: escape(rpmhooks.PostTrans(p.UUID)), PreUn: escape(rpmhooks.PreUn(p.UUID)),
		Date: c.changelogTime().Format("Mon Jan 02 2006"), Packager: packager, Home: home,
	}
	for _, f := range sources {
		fields.Sources = append(fields.Sources, f.name)
	}
	for _, f := range installed {
		fields.Installed = append(fields.Installed, f.name)
	}
	var text strings.Builder
	if err := specTemplate.Execute(&text, fields); err != nil {
		return "", fmt.Errorf("%w: %w", ErrContent, err)
	}
	return text.String(), nil
}

// escape keeps macros from being expanded in free text.
func escape(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// changelogTime is noon of the build day: changelogs hold days, and rpmbuild
// makes noon of them.
func (c *Content) changelogTime() time.Time {
	return c.BuildTime.UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
}
