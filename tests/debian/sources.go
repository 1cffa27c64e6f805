package debian

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The release of Debian whose packages the tests are written for.
const codename = "bookworm"

// A stanza is one entry of an apt source list, reduced to what we copy.
type stanza struct {
	uris, suites []string
	signedBy     string
}

// sourceList returns a source list in the deb822 form that offers the source
// packages of Debian 12 from the mirrors that this machine uses anyway, or from
// Debian's own if it uses none of that release.
func sourceList(etc string) string {
	var found []stanza
	files, _ := filepath.Glob(filepath.Join(etc, "sources.list.d", "*"))
	for _, name := range append([]string{filepath.Join(etc, "sources.list")}, files...) {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		switch filepath.Ext(name) {
		case ".list":
			found = append(found, parseOneLine(text)...)
		case ".sources":
			found = append(found, parseDeb822(text)...)
		}
	}

	const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	var list strings.Builder
	for _, s := range found {
		write(&list, s)
	}
	// The fixes come from the security archive and the program from the main
	// one; a machine that lists only one of them gets Debian's for the other.
	if !strings.Contains(list.String(), codename+"-security") {
		write(&list, stanza{[]string{"http://deb.debian.org/debian-security"}, []string{codename + "-security"}, keyring})
	}
	if !slices.ContainsFunc(found, func(s stanza) bool { return slices.Contains(s.suites, codename) }) {
		write(&list, stanza{[]string{"http://deb.debian.org/debian"}, []string{codename}, keyring})
	}
	return list.String()
}

func write(list *strings.Builder, s stanza) {
	fmt.Fprintf(list, "Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\n",
		strings.Join(s.uris, " "), strings.Join(s.suites, " "))
	if s.signedBy != "" {
		fmt.Fprintf(list, "Signed-By: %s\n", s.signedBy)
	}
	list.WriteByte('\n')
}

// ours keeps the suites of Debian 12 itself; other vendors add suffixes of
// their own and seldom have source packages.
func ours(suites []string) []string {
	return slices.DeleteFunc(slices.Clone(suites), func(suite string) bool {
		return suite != codename && suite != codename+"-updates" && suite != codename+"-security"
	})
}

// parseOneLine reads the older form: deb [options] URI suite component...
func parseOneLine(text []byte) []stanza {
	var found []stanza
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		var s stanza
		if before, rest, ok := strings.Cut(line, "["); ok {
			options, after, _ := strings.Cut(rest, "]")
			for _, option := range strings.Fields(options) {
				if key, value, _ := strings.Cut(option, "="); key == "signed-by" {
					s.signedBy = value
				}
			}
			line = before + " " + after
		}
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[0] != "deb" || !slices.Contains(fields[3:], "main") {
			continue
		}
		s.uris, s.suites = fields[1:2], ours(fields[2:3])
		if len(s.suites) > 0 {
			found = append(found, s)
		}
	}
	return found
}

// parseDeb822 reads stanzas of "Field: value" lines separated by empty lines.
// A key written out inside the stanza is dropped: apt then falls back to the
// machine's trusted keys, which for Debian's own archive are the same.
func parseDeb822(text []byte) []stanza {
	var found []stanza
	for paragraph := range strings.SplitSeq(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n\n") {
		fields := map[string]string{}
		for line := range strings.SplitSeq(paragraph, "\n") {
			if strings.HasPrefix(line, "#") || strings.HasPrefix(line, " ") {
				continue
			}
			if key, value, ok := strings.Cut(line, ":"); ok {
				fields[strings.ToLower(key)] = strings.TrimSpace(value)
			}
		}
		s := stanza{
			uris:   strings.Fields(fields["uris"]),
			suites: ours(strings.Fields(fields["suites"])),
		}
		if strings.HasPrefix(fields["signed-by"], "/") {
			s.signedBy = fields["signed-by"]
		}
		usable := strings.Contains(fields["types"], "deb") && fields["enabled"] != "no" &&
			slices.Contains(strings.Fields(fields["components"]), "main")
		if usable && len(s.uris) > 0 && len(s.suites) > 0 {
			found = append(found, s)
		}
	}
	return found
}
