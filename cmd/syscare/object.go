package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/openeuler/syscare/engine/patchobject"
	"github.com/openeuler/syscare/state"
)

// orObject makes a command work on --object and --pid if they are given.
func (p *program) orObject(installed cli.ActionFunc, want state.Presence) cli.ActionFunc {
	return func(c *cli.Context) error {
		if !c.IsSet("object") && !c.IsSet("pid") {
			return installed(c)
		}
		module := strings.HasSuffix(c.String("object"), ".ko")
		if c.String("object") == "" || c.Args().Present() || module == (c.Int("pid") > 0) {
			return usagef("--object FILE and --pid PID go together, without a patch; --object MODULE.ko goes alone")
		}
		if err := checkTuning(c); err != nil {
			return err
		}
		if err := p.needRoot(c); err != nil {
			return err
		}
		if module {
			return bringModule(c, want)
		}
		return p.bringObject(c, want)
	}
}

func (p *program) bringObject(c *cli.Context, want state.Presence) error {
	obj, err := loadObject(c.String("object"))
	if err != nil {
		return err
	}
	engine := p.newEngine(p.log)
	proc, err := findProcess(c, engine, obj)
	if err != nil {
		return err
	}
	entity := state.Entity{UUID: obj.Info.UUID, BuildID: obj.Info.TargetID, Object: obj}
	tuning := state.Tuning{Timeout: c.Duration("timeout"), Force: c.Bool("force")}
	report, err := engine.Bring(c.Context, proc, entity, want, tuning)
	if err != nil {
		return fmt.Errorf("cannot %s %s: %w", c.Command.Name, c.String("object"), &state.ProcessError{Process: proc, Err: err})
	}
	if c.Bool("verbose") {
		report.Process, report.Entity = proc, obj.Info.Entity
		printReport(c.App.Writer, report)
	}
	return nil
}

func findProcess(c *cli.Context, engine state.Engine, obj *patchobject.Object) (state.Process, error) {
	pid := c.Int("pid")
	procs, err := engine.Find(c.Context, obj.Info.TargetID)
	if err != nil {
		return state.Process{}, err
	}
	if i := slices.IndexFunc(procs, func(q state.Process) bool { return q.PID == pid }); i >= 0 {
		return procs[i], nil
	}
	if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); errors.Is(err, fs.ErrNotExist) {
		return state.Process{}, fmt.Errorf("process %d: %w", pid, &notFoundError{"no such process"})
	}
	return state.Process{}, fmt.Errorf("%w: process %d does not run %s with build ID %s", state.ErrMismatch, pid, obj.Info.TargetName, obj.Info.TargetID)
}

// notFoundError is a thing other than a patch that is not there.
type notFoundError struct{ message string }

func (e *notFoundError) Error() string        { return e.message }
func (e *notFoundError) Is(target error) bool { return target == state.ErrNotFound }

func loadObject(path string) (*patchobject.Object, error) {
	obj, err := patchobject.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &notFoundError{err.Error()}
	}
	return obj, err
}

func (p *program) inspectCommand() *cli.Command {
	return &cli.Command{
		Name: "inspect", Usage: "show what patch objects replace", ArgsUsage: "FILE...", Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef("`syscare inspect` needs a patch object file")
			}
			views := []objectView{}
			for _, path := range c.Args().Slice() {
				obj, err := loadObject(path)
				if err != nil {
					return err
				}
				views = append(views, viewObject(path, obj))
			}
			if c.Bool("json") {
				return printJSON(c.App.Writer, views)
			}
			for i, v := range views {
				if i > 0 {
					fmt.Fprintln(c.App.Writer)
				}
				v.print(c.App.Writer)
			}
			return nil
		},
	}
}

// objectView is a patch object as `inspect` shows it.
type objectView struct {
	File      string             `json:"file"`
	Info      patchobject.Info   `json:"info"`
	Functions []functionView     `json:"functions"`
	Sections  []sectionView      `json:"sections"`
	Binds     []patchobject.Bind `json:"binds"`
}

type functionView struct {
	Name       string                   `json:"name"`
	Source     string                   `json:"source"`
	Kind       patchobject.FunctionKind `json:"kind"`
	OldAddress string                   `json:"old_address"`
	OldSize    uint64                   `json:"old_size"`
	NewSize    uint64                   `json:"new_size"`
	Digest     string                   `json:"digest"`
}

type sectionView struct {
	Name   string `json:"name"`
	Size   uint64 `json:"size"`
	Access string `json:"access"`
	Relocs int    `json:"relocations"`
}

func viewObject(path string, obj *patchobject.Object) objectView {
	v := objectView{File: path, Info: obj.Info, Functions: []functionView{}, Sections: []sectionView{}, Binds: []patchobject.Bind{}}
	for _, f := range obj.Funcs {
		v.Functions = append(v.Functions, functionView{f.Name, f.Source, f.Kind, f.OldAddress.String(), f.OldSize, f.NewSize, f.Digest})
	}
	for _, s := range obj.Sections {
		access := "r"
		if s.Writable {
			access += "w"
		}
		if s.Exec {
			access += "x"
		}
		v.Sections = append(v.Sections, sectionView{s.Name, s.Size, access, len(s.Relocs)})
	}
	for _, name := range slices.Sorted(maps.Keys(obj.Binds)) {
		v.Binds = append(v.Binds, obj.Binds[name])
	}
	return v
}

func (v objectView) print(w io.Writer) {
	for _, f := range [][2]string{
		{"file", v.File}, {"uuid", v.Info.UUID}, {"entity", v.Info.Entity}, {"target", v.Info.TargetName}, {"path", v.Info.TargetPath},
		{"build_id", string(v.Info.TargetID)}, {"arch", v.Info.Arch}, {"tool", v.Info.Tool},
	} {
		fmt.Fprintf(w, "%-12s %s\n", f[0]+":", printable(f[1]))
	}
	fmt.Fprintln(w, "functions:")
	for _, f := range v.Functions {
		fmt.Fprintf(w, "  %-40s %-8s %-12s %6d -> %-6d bytes  %s\n", printable(f.Name), f.Kind, f.OldAddress, f.OldSize, f.NewSize, printable(f.Source))
	}
	fmt.Fprintln(w, "sections:")
	for _, s := range v.Sections {
		fmt.Fprintf(w, "  %-40s %-3s %8d bytes  %d relocations\n", printable(s.Name), s.Access, s.Size, s.Relocs)
	}
	fmt.Fprintln(w, "binds:")
	for _, b := range v.Binds {
		place := b.Address.String()
		if b.Kind == patchobject.BindDynamic {
			place = b.Name
			if b.Version != "" {
				place += "@" + b.Version
			}
		}
		fmt.Fprintf(w, "  %-40s %-8s %-8s %s\n", printable(b.Symbol), b.Kind, b.Type, printable(place))
	}
}
