package build

import (
	"context"
	"debug/elf"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/object"
)

// Listing is the machine code of one function before and after the fix, side by side.
type Listing struct {
	Name string
	Rows []Row
}

// Row is one instruction of each, where they correspond: "" where one has none. An
// instruction is its offset in the function and its text as objdump(1) writes it.
type Row struct {
	Before, After string
	Same          bool
}

// instruction is one line of a disassembly.
type instruction struct {
	offset, text string
}

// key is what makes two instructions correspond, wherever they are.
func (i instruction) key() string {
	return localTarget.ReplaceAllString(i.text, "<$2>")
}

func (i instruction) String() string {
	if i.text == "" {
		return ""
	}
	return fmt.Sprintf("%5s  %s", i.offset, i.text)
}

var (
	listedSection = regexp.MustCompile(`^Disassembly of section (.*):$`)
	listedCode    = regexp.MustCompile(`^ *([0-9a-f]+):\t(.*)$`)
	listedReloc   = regexp.MustCompile(`^[0-9a-f]+: R_\S+$`)
	// localTarget matches the place of a jump inside the function: "50 <f+0x50>".
	localTarget = regexp.MustCompile(`\b([0-9a-f]+) <([^<>+]*)\+0x[0-9a-f]+>`)
	emptyTarget = regexp.MustCompile(`\b[0-9a-f]+ <[^<>]*>$`)
	addend      = regexp.MustCompile(`[-+]0x[0-9a-f]+$`)
)

// Compared are the paths of the two objects of a unit; "" for that which there is not.
type Compared struct{ Original, Patched string }

// Listings disassembles the functions among the contents of the units, whose objects
// made has in the same order. It makes temporary files in work.
func Listings(ctx context.Context, work string, contents []diff.Content, made []Compared) ([]Listing, error) {
	old, fresh := make([][]string, len(made)), make([][]string, len(made)) // sections
	for _, c := range contents {
		if c.Function {
			old[c.Index] = append(old[c.Index], c.OldSection)
			fresh[c.Index] = append(fresh[c.Index], c.Section)
		}
	}
	before, after := make([]map[string][]instruction, len(made)), make([]map[string][]instruction, len(made))
	for i, o := range made {
		var err error
		if before[i], err = disassemble(ctx, o.Original, old[i]); err != nil {
			return nil, err
		}
		if after[i], err = disassemble(ctx, o.Patched, fresh[i]); err != nil {
			return nil, err
		}
	}
	var list []Listing
	for _, c := range contents {
		if !c.Function {
			continue
		}
		rows, err := align(ctx, work, before[c.Index][c.OldSection], after[c.Index][c.Section])
		if err != nil {
			return nil, err
		}
		list = append(list, Listing{c.Name, rows})
	}
	return list, nil
}

// disassemble gives the instructions of some sections of an object.
func disassemble(ctx context.Context, path string, sections []string) (map[string][]instruction, error) {
	if path == "" { // of a new unit
		return nil, nil
	}
	texts, err := constantTexts(path)
	if err != nil {
		return nil, err
	}
	argv := []string{"objdump", "-drwC", "--no-show-raw-insn"}
	f, err := object.Open(path)
	if err != nil {
		return nil, err
	}
	for _, s := range f.Sections {
		if slices.Contains(sections, s.Name) {
			argv = append(argv, "-j", s.Name)
		}
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	if len(argv) == 3 {
		return nil, nil // objdump would show all of them
	}
	output, err := commandOutput(ctx, append(argv, path))
	if err != nil {
		return nil, err
	}
	found := map[string][]instruction{}
	section := ""
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\n")
		if m := listedSection.FindStringSubmatch(line); m != nil {
			section = m[1]
		} else if m := listedCode.FindStringSubmatch(line); m != nil {
			found[section] = append(found[section], instruction{m[1], instructionText(m[2], texts)})
		}
	}
	return found, nil
}

// instructionText puts what the linker fills in where people look for it.
func instructionText(line string, texts map[string]string) string {
	fields := strings.Split(line, "\t")
	text := fields[0]
	if len(fields) > 1 && !listedReloc.MatchString(fields[1]) {
		text += " " + fields[1]
		fields = fields[1:]
	}
	for i := 1; i+1 < len(fields); i += 2 {
		symbol := addend.ReplaceAllString(fields[i+1], "")
		if quoted, known := texts[symbol]; known {
			symbol = quoted
		}
		code, _, _ := strings.Cut(text, "  # ")
		code = strings.TrimRight(strings.Split(code, " #")[0], " ")
		if emptyTarget.MatchString(code) {
			text = emptyTarget.ReplaceAllLiteralString(code, symbol) // a call
		} else {
			text = code + "  # " + symbol
		}
	}
	return text
}

// constantTexts are the strings of an object that have a symbol.
func constantTexts(path string) (map[string]string, error) {
	f, err := object.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const longest = 60
	texts := map[string]string{}
	for _, s := range f.Symbols {
		if s.Section == nil || s.Section.Flags&elf.SHF_STRINGS == 0 || s.Section.EntSize != 1 || s.Name == "" {
			continue
		}
		data, err := s.Section.Bytes()
		if err != nil {
			return nil, err
		}
		if s.Value >= uint64(len(data)) {
			continue
		}
		text, _, _ := strings.Cut(string(data[s.Value:]), "\x00")
		if len(text) > longest {
			text = text[:longest] + "…"
		}
		texts[s.Name] = strconv.Quote(text)
	}
	return texts, nil
}

// align puts the instructions of both side by side.
func align(ctx context.Context, work string, before, after []instruction) ([]Row, error) {
	text := func(list []instruction) []byte {
		var b strings.Builder
		for _, i := range list {
			b.WriteString(i.key() + "\n")
		}
		return []byte(b.String())
	}
	groups, err := differences(ctx, work, text(before), text(after))
	if err != nil {
		return nil, err
	}
	var rows []Row
	i, j := 0, 0
	same := func(until int) {
		for ; i < until && i < len(before) && j < len(after); i, j = i+1, j+1 {
			rows = append(rows, Row{before[i].String(), after[j].String(), true})
		}
	}
	for _, g := range groups {
		first := g.oldStart - 1
		if g.oldCount == 0 { // diff gives the line before
			first++
		}
		same(first)
		for k := range max(g.oldCount, g.newCount) {
			row := Row{}
			if k < g.oldCount {
				row.Before = before[i].String()
				i++
			}
			if k < g.newCount {
				row.After = after[j].String()
				j++
			}
			rows = append(rows, row)
		}
	}
	same(len(before))
	return rows, nil
}
