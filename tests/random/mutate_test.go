package random

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
)

// function is the body of one function in a text, between its braces.
type function struct {
	name       string
	line       int // where its first line starts
	start, end int
	integer    bool // it returns one
}

var (
	functionStart = regexp.MustCompile(`(?m)^([a-z_][^;={}\n]*?)\b((?:func|feature)_\w+)\([^;\n]*\)\n\{ ?\n`)
	integerType   = regexp.MustCompile(`^(?:static |__attribute__\(\([a-z, ]*\)\) )*(?:unsigned|int|u?int(?:8|16|32|64)_t)\s*$`)

	scalar     = regexp.MustCompile(`(?m)^(?:static )?u?int(?:8|16|32|64)_t (g_\d+) = `)
	loop       = regexp.MustCompile(`(?m)^.*\bfor \(.*$`)
	index      = regexp.MustCompile(`\[[^\]\n]*\]`)
	variable   = regexp.MustCompile(`\bg_\d+\b`)
	constant   = regexp.MustCompile(`\b0x[0-9A-F]{2,16}(U?L{1,2})`)
	safeCall   = regexp.MustCompile(`\bsafe_(add|sub|mul|div|mod|lshift|rshift)_func_`)
	operator   = regexp.MustCompile(` (\^|\||&|<|>|<=|>=|==|!=) `)
	statement  = regexp.MustCompile(`(?m)^[ \t]+[(*gl][^=;\n{}]* [-+*/%&|^]= [^;\n]*;\n`)
	beforeExit = regexp.MustCompile(`(?m)^\s+return\b[^\n]*;$`)
)

// functions lists the functions whose bodies can be changed.
func functions(text string) (list []function) {
	for _, m := range functionStart.FindAllStringSubmatchIndex(text, -1) {
		length := strings.Index(text[m[1]:], "\n}\n")
		if length < 0 {
			continue
		}
		list = append(list, function{
			name: text[m[4]:m[5]], line: m[0], start: m[1], end: m[1] + length + 1,
			integer: integerType.MatchString(text[m[2]:m[3]]),
		})
	}
	return list
}

// counters lists integer variables that decide neither how often a loop runs
// nor which element of an array is used, so that any value of theirs is valid.
//
// Functions of ours may be in another unit than csmith's, so they get global
// variables only.
func counters(text string, f function) []string {
	bound := map[string]bool{}
	for _, part := range append(loop.FindAllString(text, -1), index.FindAllString(text, -1)...) {
		for _, name := range variable.FindAllString(part, -1) {
			bound[name] = true
		}
	}
	names := []string{"feature_state"}
	for _, m := range scalar.FindAllStringSubmatch(text, -1) {
		if !bound[m[1]] && (strings.HasPrefix(f.name, "func_") || !strings.HasPrefix(m[0], "static ")) {
			names = append(names, m[1])
		}
	}
	return names
}

// mutation changes one function of a program, or returns false if there is
// nothing of its kind to change. The result always compiles.
type mutation struct {
	name  string
	apply func(r *rand.Rand, text string, f function) (string, bool)
}

// mutations are for all functions, csmithMutations for those that csmith made.
var (
	mutations = []mutation{
		{"statement", insert(func(r *rand.Rand, target, _ string) string {
			return fmt.Sprintf("%s = %s %s %dU;", target, target, []string{"+", "^", "*", "|"}[r.IntN(4)], 1+r.IntN(1000))
		})},
		{"static local", insert(func(r *rand.Rand, target, name string) string {
			return fmt.Sprintf("{ static unsigned %s = %d; %s = %s * 5 + %d; %s ^= %s; }",
				name, r.IntN(3)*77, name, name, r.IntN(1000), target, name)
		})},
		{"thread-local", insert(func(r *rand.Rand, target, _ string) string {
			return fmt.Sprintf("feature_thread += %d; %s += feature_thread;", 1+r.IntN(1000), target)
		})},
		{"print", insert(func(r *rand.Rand, target, name string) string {
			return fmt.Sprintf("{ static int %s; if (%s++ < 3) printf(\"%s %%u of %d\\n\", (unsigned)%s); }", name, name, name, r.IntN(1000), target)
		})},
		{"address", insert(func(r *rand.Rand, target, _ string) string {
			names := []string{"feature_plus", "feature_static", "feature_weak", "feature_alias", "feature_named"}
			return fmt.Sprintf("{ unsigned (*volatile call)(unsigned) = %s; %s ^= call(%d) + (call == %s); }",
				names[r.IntN(len(names))], target, r.IntN(1000), names[r.IntN(len(names))])
		})},
		{"early return", insertReturn},
		{"helper", insertHelper},
		{"operation", changeOperation},
	}
	csmithMutations = []mutation{
		{"constant", changeConstant},
		{"operation", changeOperation},
		{"operands", swapOperands},
		{"removed statement", removeStatement},
		{"new name", rename},
	}
	// observations only print, lines that begin with "added". Their variables
	// often have the names of existing ones.
	observations = []mutation{{"observation", insert(func(r *rand.Rand, _, name string) string {
		name = []string{"calls", "sum", "seen", name}[r.IntN(4)]
		return fmt.Sprintf("{ static unsigned %s = %d; if (%s < 20) { printf(\"added %%u\\n\", %s); %s += 4; } }",
			name, 3*r.IntN(2), name, name, name)
	})}}
)

var added = regexp.MustCompile(`(?m)^added \d+\n`)

// mutate changes the text in the given number of places, and tells how. If
// observing, all that the program does stays the same.
func mutate(r *rand.Rand, text string, changes int, observing bool) (string, []string) {
	var done []string
	for tries := 0; len(done) < changes && tries < 100*changes; tries++ {
		kinds, prefix := mutations, "feature_"
		if r.IntN(2) == 0 {
			prefix = "func_"
			if r.IntN(3) > 0 {
				kinds = csmithMutations
			}
		}
		if observing {
			kinds = observations
		}
		all := slices.DeleteFunc(functions(text), func(f function) bool { return !strings.HasPrefix(f.name, prefix) })
		f, m := all[r.IntN(len(all))], kinds[r.IntN(len(kinds))]
		if changed, ok := m.apply(r, text, f); ok {
			text = changed
			done = append(done, m.name+" in "+f.name)
		}
	}
	return text, done
}

// choose picks one match of a pattern in a function, outside indices and the
// heads of loops, which keep them in bounds.
func choose(r *rand.Rand, text string, f function, pattern *regexp.Regexp) (match []int, ok bool) {
	var all [][]int
	body := text[f.start:f.end]
	bounds := append(loop.FindAllStringIndex(body, -1), index.FindAllStringIndex(body, -1)...)
next:
	for _, m := range pattern.FindAllStringSubmatchIndex(body, -1) {
		for _, b := range bounds {
			if m[0] >= b[0] && m[0] < b[1] {
				continue next
			}
		}
		all = append(all, m)
	}
	if len(all) == 0 {
		return nil, false
	}
	match = all[r.IntN(len(all))]
	for i := range match {
		match[i] += f.start
	}
	return match, true
}

func changeConstant(r *rand.Rand, text string, f function) (string, bool) {
	m, ok := choose(r, text, f, constant)
	if !ok {
		return text, false
	}
	digits := m[2] - m[0] - 2
	value := r.Uint64() >> (64 - 4*digits)
	return fmt.Sprintf("%s0x%0*X%s", text[:m[0]], digits, value, text[m[2]:]), true
}

// changeOperation takes another operator, or another function of csmith's with
// the same parameters; those are defined for all values.
func changeOperation(r *rand.Rand, text string, f function) (string, bool) {
	if r.IntN(2) == 0 {
		m, ok := choose(r, text, f, safeCall)
		if !ok {
			return text, false
		}
		other := map[string]string{
			"add": "sub", "sub": "mul", "mul": "add", "div": "mod", "mod": "div", "lshift": "rshift", "rshift": "lshift",
		}[text[m[2]:m[3]]]
		return text[:m[2]] + other + text[m[3]:], true
	}
	m, ok := choose(r, text, f, operator)
	if !ok {
		return text, false
	}
	other := map[string]string{"^": "|", "|": "&", "&": "^", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "==": "!=", "!=": "=="}[text[m[2]:m[3]]]
	return text[:m[2]] + other + text[m[3]:], true
}

// swapOperands exchanges the two arguments of one of csmith's functions.
func swapOperands(r *rand.Rand, text string, f function) (string, bool) {
	m, ok := choose(r, text, f, safeCall)
	if !ok {
		return text, false
	}
	open := m[1] + strings.IndexByte(text[m[1]:], '(')
	depth, comma := 0, 0
	for i := open; i < f.end; i++ {
		switch text[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case ',':
			if depth == 1 && comma == 0 {
				comma = i
			}
		}
		if depth == 0 {
			return text[:open+1] + text[comma+1:i] + "," + text[open+1:comma] + text[i:], comma > 0
		}
	}
	return text, false
}

// insert makes a mutation that adds a statement about one of the variables
// that may have any value. The statement may use a name that is new.
func insert(write func(r *rand.Rand, target, name string) string) func(*rand.Rand, string, function) (string, bool) {
	return func(r *rand.Rand, text string, f function) (string, bool) {
		return addStatement(r, text, f, write(r, counter(r, text, f), newName(r, "added"))), true
	}
}

func addStatement(r *rand.Rand, text string, f function, statement string) string {
	at := f.start
	if m, ok := choose(r, text, f, beforeExit); ok && r.IntN(2) == 0 {
		// Braces: the return may be all there is behind an if.
		return text[:m[0]] + "\t{ " + statement + text[m[0]:m[1]] + " }" + text[m[1]:]
	}
	return text[:at] + "\t" + statement + "\n" + text[at:]
}

func counter(r *rand.Rand, text string, f function) string {
	names := counters(text, f)
	return names[r.IntN(len(names))]
}

func newName(r *rand.Rand, stem string) string { return fmt.Sprintf("%s_%d", stem, r.IntN(1_000_000)) }

func insertReturn(r *rand.Rand, text string, f function) (string, bool) {
	if !f.integer {
		return text, false
	}
	return addStatement(r, text, f, fmt.Sprintf("if (%s %% %d == 1) return %d;", counter(r, text, f), 2+r.IntN(3), r.IntN(100))), true
}

// removeStatement takes out an assignment that computes, and so is none of a pointer.
func removeStatement(r *rand.Rand, text string, f function) (string, bool) {
	m, ok := choose(r, text, f, statement)
	if !ok {
		return text, false
	}
	return text[:m[0]] + "\t;\n" + text[m[1]:], true
}

// helpers are bodies of new functions. $ stands for a random number.
var helpers = []string{
	"static const unsigned table[8] = {$, $, $, $, $, $, $, $};\n\treturn table[x % 8] + $;",
	"static const char *const words[] = {\"sun $\", \"moon $\", \"star $\"};\n\treturn words[x % 3][x % 5] + $;",
	"switch (x % 8) {\n\tcase 0: return $;\n\tcase 1: return $;\n\tcase 2: return x - $;\n\tcase 3: return x * $;\n\tcase 4: return $;\n\tcase 5: return x ^ $;\n\tcase 6: return $;\n\t}\n\treturn x;",
	"static unsigned calls = $;\n\tcalls = calls * 3 + x;\n\treturn calls / 7;",
	"double sum = x * 0.37 + $.25;\n\treturn sum > $ ? (unsigned)(sum / 3.0) : $;",
	"char text[40];\n\tsnprintf(text, sizeof text, \"%u-%s-$\", x, feature_word(x));\n\treturn strlen(text) * $;",
	"unsigned numbers[16], i, sum = $;\n\tfor (i = 0; i < 16; i++) numbers[i] = x * i;\n\tfor (i = 0; i < 16; i++) sum += numbers[i] ^ $;\n\treturn sum;",
	"return feature_static(x) + feature_recursive(x % 9) + feature_named($);",
	"return abs((int)(x % 1000) - $) + strtoul(\"$\", NULL, 10);",
}

// insertHelper adds a call of a new function.
func insertHelper(r *rand.Rand, text string, f function) (string, bool) {
	switch f.name {
	case "feature_static", "feature_recursive", "feature_named", "feature_word":
		return text, false // helpers call these
	}
	name := newName(r, "helper")
	body := helpers[r.IntN(len(helpers))]
	for strings.Contains(body, "$") {
		body = strings.Replace(body, "$", fmt.Sprint(1+r.IntN(1000)), 1)
	}
	target := counter(r, text, f)
	text = addStatement(r, text, f, fmt.Sprintf("%s ^= %s((unsigned)%s);", target, name, target))
	storage := []string{"static ", "static __attribute__((noinline)) ", "", "static inline "}[r.IntN(4)]
	return text[:f.line] + storage + "unsigned " + name + "(unsigned x)\n{\n\t" + body + "\n}\n" + text[f.line:], true
}

// rename gives a function another name: one is gone and one is new.
func rename(r *rand.Rand, text string, f function) (string, bool) {
	if !strings.HasPrefix(f.name, "func_") || f.name == "func_1" {
		return text, false
	}
	return regexp.MustCompile(`\b`+f.name+`\b`).ReplaceAllString(text, newName(r, f.name)), true
}
