package specgen

import (
	"regexp"
	"slices"
	"strings"
)

// cveRule is the syntax of CVE identifiers since 2014: at least four digits.
var cveRule = regexp.MustCompile(`(?i)\bCVE-(?:19|20)\d{2}-\d{4,19}\b`)

// FindCVEs gives the CVE identifiers in texts, upper-case, sorted by year and
// number, each once.
func FindCVEs(texts ...string) []string {
	var found []string
	for _, text := range texts {
		for _, id := range cveRule.FindAllString(text, -1) {
			found = append(found, strings.ToUpper(id))
		}
	}
	slices.SortFunc(found, func(a, b string) int {
		if a[:9] == b[:9] && len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(found)
}
