package specgen

import (
	"encoding/xml"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openeuler/syscare/specgen/rpmfile"
)

// Severities are those that updateinfo knows, the worst first.
var Severities = []string{"Critical", "Important", "Moderate", "Low", "None"}

// Advisory says what is known of a fix beside its packages.
type Advisory struct {
	ID       string // e.g. "openEuler-HotPatchSA-2026-1001"
	Severity string // one of Severities
	Issued   time.Time
	Cold     []*rpmfile.Package // the update that fixes the same, if there is one
}

// updateinfo is the document that modifyrepo_c puts into a repository, and dnf reads.
// Live patches are in a collection of their own, as openEuler has it: what does not
// know of them does not take them for updates. Where there is nothing else, they are
// in the ordinary one as well, without which dnf would not show the advisory.
type updateinfo struct {
	XMLName xml.Name `xml:"updates"`
	Updates []any    `xml:"update"`
}

// earlierInfo is a document that an advisory is added to.
type earlierInfo struct {
	XMLName xml.Name `xml:"updates"`
	Updates []struct {
		ID string `xml:"id"`
		asItIs
	} `xml:"update"`
}

// asItIs is an element of which nothing is to be lost.
type asItIs struct {
	Attributes []xml.Attr `xml:",any,attr"`
	Inside     string     `xml:",innerxml"`
}

type update struct {
	From        string     `xml:"from,attr"`
	Status      string     `xml:"status,attr"`
	Type        string     `xml:"type,attr"`
	Version     string     `xml:"version,attr"`
	ID          string     `xml:"id"`
	Title       string     `xml:"title"`
	Issued      date       `xml:"issued"`
	Severity    string     `xml:"severity"`
	Description string     `xml:"description"`
	References  references `xml:"references"`
	Packages    pkglist    `xml:"pkglist"`
}

type date struct {
	Date string `xml:"date,attr"`
}

type references struct {
	References []reference `xml:"reference"`
}

type reference struct {
	Href  string `xml:"href,attr"`
	ID    string `xml:"id,attr"`
	Title string `xml:"title,attr"`
	Type  string `xml:"type,attr"`
}

type pkglist struct {
	Ordinary *collection `xml:"collection"`
	Hot      *collection `xml:"hot_patch_collection"`
}

type collection struct {
	Short    string            `xml:"short,attr"`
	Packages []advisoryPackage `xml:"package"`
}

type advisoryPackage struct {
	Name     string `xml:"name,attr"`
	Version  string `xml:"version,attr"`
	Release  string `xml:"release,attr"`
	Epoch    string `xml:"epoch,attr"`
	Arch     string `xml:"arch,attr"`
	Filename string `xml:"filename"`
}

// WriteAdvisory gives earlier, an updateinfo document or nothing, with an advisory of
// the patch packages added. One with the same ID is replaced.
func WriteAdvisory(earlier []byte, a Advisory, patches []*rpmfile.Package) ([]byte, error) {
	var before earlierInfo
	if len(earlier) > 0 {
		if err := xml.Unmarshal(earlier, &before); err != nil {
			return nil, fmt.Errorf("not an updateinfo document: %w", err)
		}
	}
	added, err := a.update(patches)
	if err != nil {
		return nil, err
	}
	var doc updateinfo
	for _, u := range before.Updates {
		if u.ID != added.ID {
			doc.Updates = append(doc.Updates, u.asItIs)
		}
	}
	doc.Updates = append(doc.Updates, added)
	out, err := xml.MarshalIndent(doc, "", "  ")
	return append([]byte(xml.Header), append(out, '\n')...), err
}

func (a Advisory) update(patches []*rpmfile.Package) (update, error) {
	if a.ID == "" || strings.ContainsFunc(a.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return update{}, fmt.Errorf("advisory ID %q is empty or not printable", a.ID)
	}
	if !slices.Contains(Severities, a.Severity) {
		return update{}, fmt.Errorf("severity %q is none of %s", a.Severity, strings.Join(Severities, ", "))
	}
	if len(patches) == 0 {
		return update{}, errors.New("an advisory needs a patch package")
	}
	u := update{
		From: "syscare", Status: "stable", Type: "security", Version: "1", ID: a.ID, Severity: a.Severity,
		Title: patches[0].Summary, Description: patches[0].Description,
		Issued: date{a.Issued.UTC().Format(time.DateTime)},
	}
	var cves []string
	hot := &collection{Short: "hotpatch"}
	for _, p := range patches {
		isPatch := false
		for _, name := range p.Provides {
			isPatch = isPatch || strings.HasPrefix(name, "syscare-patch(")
			if cve, ok := strings.CutPrefix(name, "syscare-cve("); ok {
				cves = append(cves, FindCVEs(cve)...)
			}
		}
		if !isPatch {
			return update{}, fmt.Errorf("%s: not the package of a live patch; give the updates that fix the same with --cold", p.Path)
		}
		hot.Packages = append(hot.Packages, ofAdvisory(p))
	}
	u.Packages.Hot = hot
	ordinary := &collection{Short: "updates"}
	for _, p := range a.Cold {
		ordinary.Packages = append(ordinary.Packages, ofAdvisory(p))
	}
	if len(a.Cold) == 0 {
		ordinary = hot
	}
	u.Packages.Ordinary = ordinary
	for _, cve := range FindCVEs(cves...) {
		u.References.References = append(u.References.References, reference{"https://www.cve.org/CVERecord?id=" + cve, cve, cve, "cve"})
	}
	return u, nil
}

func ofAdvisory(p *rpmfile.Package) advisoryPackage {
	epoch := p.Epoch
	if epoch == "" {
		epoch = "0"
	}
	return advisoryPackage{p.Name, p.Version, p.Release, epoch, p.Arch, filepath.Base(p.Path)}
}
