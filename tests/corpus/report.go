package corpus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Line is the row for a terminal.
func (r *Row) Line() string {
	what := r.Reason
	if r.Verdict == Patched {
		what = fmt.Sprintf("%d functions, %d KB, %d µs", len(r.Names), (r.Bytes+1023)/1024, r.Pause.Microseconds())
		if r.With > 0 {
			what += fmt.Sprintf(" (with the %d before it)", r.With)
		}
	}
	return fmt.Sprintf("%-11s %-60s %-8s %5.1f s  %s", r.Package.Name, short(r.Fix.Patch, 60), r.Verdict, r.Seconds, what)
}

func short(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return text[:limit-1] + "…"
}

// counts sorts rows by what became of them.
func counts(rows []*Row) (patchable, working, refused, idle, wrong int) {
	for _, r := range rows {
		switch {
		case r.Fix.Idle:
			idle++
		case r.Fix.Refused != "":
			refused++
		default:
			patchable++
			if r.Verdict == Patched && r.Live {
				working++
			}
		}
		if r.Wrong() != "" {
			wrong++
		}
	}
	return patchable, working, refused, idle, wrong
}

// Summary counts the rows.
func Summary(rows []*Row) string {
	patchable, working, refused, idle, wrong := counts(rows)
	shown := 0
	for _, r := range rows {
		if r.Shown {
			shown++
		}
	}
	return fmt.Sprintf("%d fixes: %d of %d patchable ones work, %d of them seen from outside, %d must be refused, %d change no code of the targets; %d are not as expected",
		len(rows), working, patchable, shown, refused, idle, wrong)
}

// Results are what became of the fixes of one package.
type Results struct {
	Name    string
	Seconds float64  // of its build
	Targets []string // file names
	Rows    []*Row
}

// Keep writes the results of one package into dir.
func Keep(dir string, r *Recorded, rows []*Row) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(Results{r.Name, r.Seconds, r.Targets(), rows}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, r.Name+".json"), text, 0o644)
}

// Kept reads the results in dir, in the order of the table. The expectations
// are those of the table as it is now.
func Kept(dir string) ([]Results, error) {
	var all []Results
	for _, p := range Packages() {
		text, err := os.ReadFile(filepath.Join(dir, p.Name+".json"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var r Results
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("results of %s: %w", p.Name, err)
		}
		var rows []*Row
		for _, row := range r.Rows {
			i := slices.IndexFunc(p.Fixes, func(f Fix) bool { return f.Patch == row.Fix.Patch })
			if i < 0 {
				continue
			}
			row.Package, row.Fix = p, p.Fixes[i]
			rows = append(rows, row)
		}
		r.Rows = rows
		all = append(all, r)
	}
	return all, nil
}

// Document writes what became of all fixes as Markdown.
func Document(w io.Writer, packages []Results) {
	var rows []*Row
	for _, p := range packages {
		rows = append(rows, p.Rows...)
	}
	fmt.Fprintf(w, "# Real fixes of real packages\n\nMade by `make corpus`. %s.\n\n", Summary(rows))
	fmt.Fprint(w, `Each package is Debian 12's, built once with Debian's compiler flags as it was
before its first fix in the table; each fix is a patch of Debian's. "Functions"
are those replaced in all targets. The pause is the longest of the processes in
which the patch was tried; "+n" after a fix says that it needs the n fixes
before it and was built with them.

Every patched fix was applied to a running process and removed from it again,
after which all its code was, byte for byte, as before. "Seen" says that the
process was also given what the fix is about, a crafted file or request: it
behaved in one way before, in another with the patch, and in the first way again
after the removal. Where it is empty, what the fix changes (a race, an error of
the allocator, a read of memory that nothing shows) is not seen from outside, or
nobody has written the input for it yet.

`)
	fmt.Fprint(w, "| package | kind | build | build seconds | targets |\n|---|---|---|---|---|\n")
	for _, p := range packages {
		about := Find(p.Name)
		fmt.Fprintf(w, "| %s | %s | %s | %.0f | %s |\n", p.Name, about.Kind, about.Build, p.Seconds, strings.Join(p.Targets, ", "))
	}
	fmt.Fprint(w, "\n## Fixes\n\n| package | fix | verdict | functions | seconds | patch KB | pause µs | seen |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		name := strings.TrimSuffix(r.Fix.Patch, ".patch")
		if r.With > 0 {
			name += fmt.Sprintf(" +%d", r.With)
		}
		verdict := string(r.Verdict)
		if why := r.Wrong(); why != "" {
			verdict = "**" + verdict + "**, not as expected"
		}
		functions, bytes, pause, seen := "", "", "", ""
		if r.Shown {
			seen = "yes"
		}
		if r.Verdict == Patched {
			functions, bytes, pause = fmt.Sprint(len(r.Names)), fmt.Sprint((r.Bytes+1023)/1024), fmt.Sprint(r.Pause.Microseconds())
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %.1f | %s | %s | %s |\n", r.Package.Name, name, verdict, functions, r.Seconds, bytes, pause, seen)
	}
	fmt.Fprint(w, "\n## Refusals\n\n| package | fix | reason | a better engine would need |\n|---|---|---|---|\n")
	for _, r := range rows {
		if r.Verdict != Refused {
			continue
		}
		reason := strings.ReplaceAll(strings.ReplaceAll(r.Reason, "\n", " "), "|", "\\|")
		better := r.Fix.Better
		if better == "" {
			better = "nothing: it must not be patched"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", r.Package.Name, strings.TrimSuffix(r.Fix.Patch, ".patch"), short(reason, 300), better)
	}
	if failed := slices.DeleteFunc(slices.Clone(rows), func(r *Row) bool { return r.Verdict != Failed }); len(failed) > 0 {
		fmt.Fprint(w, "\n## Failures\n\n| package | fix | reason |\n|---|---|---|\n")
		for _, r := range failed {
			fmt.Fprintf(w, "| %s | %s | %s |\n", r.Package.Name, r.Fix.Patch, short(strings.ReplaceAll(strings.ReplaceAll(r.Reason, "\n", " "), "|", "\\|"), 300))
		}
	}
}

// Targets are the file names of the targets that the build made.
func (r *Recorded) Targets() []string {
	var names []string
	found, err := r.targets()
	if err != nil {
		return []string{err.Error()}
	}
	for _, d := range found {
		if !slices.Contains(names, d.Name) {
			names = append(names, d.Name)
		}
	}
	return names
}
