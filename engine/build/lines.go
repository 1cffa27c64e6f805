package build

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// group is one changed group of lines, as "diff -U0" numbers them.
type group struct {
	oldStart, oldCount int
	newStart, newCount int
}

var groupHeader = regexp.MustCompile(`^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@`)

func parseGroups(text string) ([]group, error) {
	var groups []group
	for _, line := range strings.Split(text, "\n") {
		m := groupHeader.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		var n [4]int
		for i, field := range m[1:] {
			n[i] = 1
			if field == "" {
				continue
			}
			var err error
			if n[i], err = strconv.Atoi(field); err != nil {
				return nil, fmt.Errorf("diff: %w", err)
			}
		}
		groups = append(groups, group{oldStart: n[0], oldCount: n[1], newStart: n[2], newCount: n[3]})
	}
	return groups, nil
}

// Numbered returns the changed sources and headers with their lines numbered as before,
// by name.
func (p *Plan) Numbered(ctx context.Context, work string) (map[string][]byte, error) {
	texts := map[string][]byte{}
	for _, c := range p.Changes {
		if c.New == nil || !isSource(c.Path) && !isHeader(c.Path) {
			continue
		}
		text, err := keepLineNumbers(ctx, work, c.Old, c.New)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Path, err)
		}
		texts[c.Path] = text
	}
	return texts, nil
}

// keepLineNumbers returns the patched text with #line directives that give
// lines outside the change the numbers they had, so that __LINE__ and assert
// do not make unchanged functions differ.
func keepLineNumbers(ctx context.Context, work string, before, after []byte) ([]byte, error) {
	if before == nil || after == nil || lineDirective.Match(before) || lineDirective.Match(after) {
		return after, nil // generated files number their lines themselves
	}
	groups, err := differences(ctx, work, before, after)
	if err != nil {
		return nil, err
	}
	return insertLineDirectives(after, groups), nil
}

var lineDirective = regexp.MustCompile(`(?m)^[ \t]*#[ \t]*(?:line[ \t]+)?[0-9]+`)

func insertLineDirectives(text []byte, groups []group) []byte {
	lines := bytes.SplitAfter(text, []byte("\n"))
	var out bytes.Buffer
	var scan scanner
	next := 0    // first group that does not lie before the line
	shift := 0   // new number minus old number of unchanged lines here
	counted := 0 // shift that the compiler counts with
	for i, line := range lines {
		number := i + 1
		for next < len(groups) && number > groups[next].last() {
			shift += groups[next].newCount - groups[next].oldCount
			next++
		}
		changed := next < len(groups) && groups[next].newCount > 0 && number >= groups[next].newStart
		if !changed && shift != counted && len(line) > 0 && scan.safe(line) {
			fmt.Fprintf(&out, "#line %d\n", number-shift)
			counted = shift
		}
		out.Write(line)
		scan.line(line)
	}
	return out.Bytes()
}

// last is the last new line that belongs to the group; a pure removal has
// none, and diff gives the line before it.
func (g group) last() int {
	if g.newCount == 0 {
		return g.newStart
	}
	return g.newStart + g.newCount - 1
}

// scanner follows C and C++ text just enough to know whether a directive may
// stand before the next line.
type scanner struct {
	comment   bool   // in a block comment
	raw       string // end of the raw string that we are in
	quote     byte   // string or character continued by a backslash
	directive bool   // in a directive continued by a backslash
	continued bool   // the last line ended with a backslash
	depth     int    // open parentheses
	saved     []int  // depth at each open #if
}

// safe reports whether a directive may stand before the line: not within a
// comment, a literal, a continued line or parentheses, nor between a macro's
// name and its arguments.
func (s *scanner) safe(line []byte) bool {
	if s.comment || s.raw != "" || s.quote != 0 || s.continued || s.depth > 0 {
		return false
	}
	return !bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("("))
}

// line takes in one line, with its end.
func (s *scanner) line(line []byte) {
	text := bytes.TrimRight(line, "\r\n")
	if !s.continued {
		s.directive, s.quote = false, 0
		if !s.comment && s.raw == "" {
			s.begin(text)
		}
	}
	s.continued = bytes.HasSuffix(text, []byte("\\"))
	for i := 0; i < len(text); i++ {
		i = s.char(text, i)
	}
}

// begin looks at the start of a logical line: conditionals may hold several
// forms of one parenthesis, and a brace in the first column ends whatever was
// miscounted before.
func (s *scanner) begin(text []byte) {
	trimmed := bytes.TrimLeft(text, " \t")
	if bytes.HasPrefix(text, []byte("}")) {
		s.depth = 0
	}
	if !bytes.HasPrefix(trimmed, []byte("#")) {
		return
	}
	s.directive = true
	word := string(bytes.TrimLeft(trimmed[1:], " \t"))
	switch {
	case strings.HasPrefix(word, "if"):
		s.saved = append(s.saved, s.depth)
	case strings.HasPrefix(word, "el") && len(s.saved) > 0:
		s.depth = s.saved[len(s.saved)-1]
	case strings.HasPrefix(word, "endif") && len(s.saved) > 0:
		s.saved = s.saved[:len(s.saved)-1]
	}
}

// char takes in the character at i and returns the index of the last one that
// it used up.
func (s *scanner) char(text []byte, i int) int {
	rest := text[i:]
	switch {
	case s.comment:
		if bytes.HasPrefix(rest, []byte("*/")) {
			s.comment = false
			return i + 1
		}
	case s.raw != "":
		if bytes.HasPrefix(rest, []byte(s.raw)) {
			i += len(s.raw) - 1
			s.raw = ""
		}
	case s.quote != 0:
		if rest[0] == '\\' {
			return i + 1
		}
		if rest[0] == s.quote {
			s.quote = 0
		}
	case bytes.HasPrefix(rest, []byte("/*")):
		s.comment = true
		return i + 1
	case bytes.HasPrefix(rest, []byte("//")):
		return len(text)
	case rest[0] == '"':
		if i > 0 && text[i-1] == 'R' {
			if open := bytes.IndexByte(rest, '('); open > 0 && open <= 17 {
				s.raw = ")" + string(rest[1:open]) + `"`
				return i + open
			}
		}
		s.quote = '"'
	case rest[0] == '\'':
		if i > 0 && i+1 < len(text) && isHexDigit(text[i-1]) && isHexDigit(text[i+1]) && (i+2 >= len(text) || text[i+2] != '\'') {
			return i // digit separator of C++
		}
		s.quote = '\''
	case s.directive:
	case rest[0] == '(':
		s.depth++
	case rest[0] == ')' && s.depth > 0:
		s.depth--
	}
	return i
}

func isHexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
