package front

import (
	"os"
	"strings"
)

// parseRules reads the make rules that compilers write and returns the
// prerequisites of each rule that has any.
func parseRules(text string) [][]string {
	var rules [][]string
	text = strings.ReplaceAll(text, "\\\r\n", " ")
	text = strings.ReplaceAll(text, "\\\n", " ")
	for _, line := range strings.Split(text, "\n") {
		words := splitRule(line)
		for i, word := range words {
			if strings.HasSuffix(word, ":") {
				if i+1 < len(words) {
					rules = append(rules, words[i+1:])
				}
				break
			}
		}
	}
	return rules
}

// splitRule splits at blanks and undoes make's quoting: "\ ", "\#" and "$$".
func splitRule(line string) []string {
	var words []string
	var word strings.Builder
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && i+1 < len(line) && (line[i+1] == ' ' || line[i+1] == '#'):
			i++
			word.WriteByte(line[i])
		case c == '$' && i+1 < len(line) && line[i+1] == '$':
			i++
			word.WriteByte('$')
		case c == ' ' || c == '\t' || c == '\r':
			if word.Len() > 0 {
				words = append(words, word.String())
				word.Reset()
			}
		default:
			word.WriteByte(c)
		}
	}
	if word.Len() > 0 {
		words = append(words, word.String())
	}
	return words
}

// ReadRules returns all prerequisites in a dependency file.
func ReadRules(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, rule := range parseRules(string(data)) {
		names = append(names, rule...)
	}
	return names, nil
}
