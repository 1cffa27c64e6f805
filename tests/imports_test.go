package tests

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/openeuler/syscare/"

// floors are the packages from the ground up. A package may import its own
// floor's packages only where sameFloor allows it, and those of lower floors
// unless forbidden says no. Sub-packages live where their parent lives unless
// they are listed themselves.
var floors = [][]string{
	{"engine/object", "engine/isa", "packaging"},
	{"engine/patchobject"},
	{"engine/diff"},
	{"engine/build", "engine/user", "engine/kernel"},
	{"engine/kernelbuild"},
	{"state/metadata", "state/config", "state/journal"},
	{"state", "specgen"},
	{"state/bus"},
	{"rpmhooks"},
	{"cmd"},
	{"tests"},
}

// sameFloor lists the imports between neighbours that are meant.
var sameFloor = [][2]string{
	{"specgen", "rpmhooks"}, // it writes the scriptlets into packages
}

// forbidden lists imports that run downwards and are wrong all the same.
var forbidden = [][2]string{
	{"engine/user", "engine/diff"}, // what runs on every machine does not build
	{"state", "specgen"},           // what manages patches does not package them
	{"rpmhooks", "specgen"},
}

// foreign lists modules that the engine must not know.
var foreign = []string{
	"github.com/cavaliergopher/rpm", "github.com/google/rpmpack",
	"github.com/godbus/dbus", "github.com/coreos/go-systemd",
	"github.com/urfave/cli", "github.com/spf13/cobra",
}

// A graph maps the import path of each of our packages to what it imports.
type graph map[string][]string

// room returns the entry of floors that holds a package, and its floor.
func room(importPath string) (name string, floor int) {
	path, ours := strings.CutPrefix(importPath, module)
	if !ours {
		return "", -1
	}
	for f, rooms := range floors {
		for _, r := range rooms {
			if (path == r || strings.HasPrefix(path, r+"/")) && len(r) > len(name) {
				name, floor = r, f
			}
		}
	}
	if name == "" {
		return "", -1
	}
	return name, floor
}

// wrongImports returns a line for each import that breaks a rule.
func wrongImports(g graph) []string {
	var wrong []string
	for from, imports := range g {
		fromRoom, fromFloor := room(from)
		if fromFloor < 0 {
			wrong = append(wrong, from+" is on no floor: add it to floors")
			continue
		}
		for _, to := range imports {
			inEngine := strings.HasPrefix(fromRoom, "engine/")
			if inEngine && slices.ContainsFunc(foreign, func(m string) bool { return strings.HasPrefix(to, m) }) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s: the engine must not", from, to))
			}
			toRoom, toFloor := room(to)
			edge := [2]string{fromRoom, toRoom}
			switch {
			case toFloor < 0 || fromRoom == toRoom || slices.Contains(sameFloor, edge):
			case toFloor > fromFloor:
				wrong = append(wrong, fmt.Sprintf("%s imports %s: upwards", from, to))
			case toFloor == fromFloor:
				wrong = append(wrong, fmt.Sprintf("%s imports %s: sideways", from, to))
			case slices.Contains(forbidden, edge):
				wrong = append(wrong, fmt.Sprintf("%s imports %s: forbidden", from, to))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// reach adds to each package what its imports import, so that a way around a
// forbidden edge is found too.
func reach(g graph) graph {
	all := graph{}
	for from := range g {
		seen := map[string]bool{}
		queue := slices.Clone(g[from])
		for len(queue) > 0 {
			next := queue[0]
			queue = queue[1:]
			if !seen[next] {
				seen[next] = true
				all[from] = append(all[from], next)
				queue = append(queue, g[next]...)
			}
		}
	}
	return all
}

// ourPackages asks the go command for every package of the module, their
// tests' imports left out: a test may look sideways.
func ourPackages(t *testing.T) graph {
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", module+"...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	require.NoError(t, err)
	g := graph{}
	for packages := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		err := packages.Decode(&p)
		if errors.Is(err, io.EOF) {
			return g
		}
		require.NoError(t, err)
		g[p.ImportPath] = p.Imports
	}
}

func TestImportsRunDownwards(t *testing.T) {
	g := ourPackages(t)
	assert.Contains(t, g, module+"engine/object")
	assert.Empty(t, wrongImports(reach(g)))
}

func TestWrongImportsAreFound(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"engine/object", "engine/patchobject", "upwards"},
		{"engine/object", "engine/isa", "sideways"},
		{"engine/diff", "engine/build", "upwards"},
		{"engine/user", "engine/build", "sideways"},
		{"engine/user", "engine/diff", "forbidden"},
		{"engine/user/remote", "engine/diff", "forbidden"},
		{"engine/build", "state/metadata", "upwards"},
		{"state", "specgen", "sideways"},
		{"state", "rpmhooks", "upwards"},
		{"specgen", "state", "sideways"},
		{"specgen", "cmd/syscare", "upwards"},
		{"nowhere", "engine/object", "no floor"},
	} {
		got := wrongImports(graph{module + c.from: {module + c.to}})
		if assert.Len(t, got, 1, "%s -> %s", c.from, c.to) {
			assert.Contains(t, got[0], c.want)
		}
	}
	assert.NotEmpty(t, wrongImports(graph{module + "engine/user": {"github.com/urfave/cli/v2"}}))

	roundabout := graph{
		module + "engine/user":  {module + "engine/other"},
		module + "engine/other": {module + "engine/diff"},
	}
	assert.Contains(t, wrongImports(reach(roundabout)), module+"engine/user imports "+module+"engine/diff: forbidden")
}

func TestRightImportsPass(t *testing.T) {
	assert.Empty(t, wrongImports(graph{
		module + "engine/patchobject": {module + "engine/object", module + "engine/isa", "encoding/json"},
		module + "engine/build":       {module + "engine/diff", module + "engine/object"},
		module + "engine/user":        {module + "engine/patchobject"},
		module + "specgen":            {module + "state/metadata", module + "rpmhooks"},
		module + "state":              {module + "engine/user", module + "state/metadata"},
		module + "state/bus":          {module + "state", "github.com/godbus/dbus/v5"},
		module + "cmd/syscare":        {module + "specgen", module + "engine/build", "github.com/urfave/cli/v2"},
	}))
}
