package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// multiple names the flags that take all arguments up to the next flag, as in
// `--patch a b c`, by command.
var multiple = map[string][]string{
	"build": {"source", "debuginfo", "patch"},
	"diff":  {"original", "patched"},
}

// normalise rewrites a command line to what package cli understands: global
// flags first, then the command, its flags, and its arguments; a flag with
// several values becomes several flags.
func normalise(app *cli.App, args []string) []string {
	if len(args) == 0 || args[len(args)-1] == "--generate-bash-completion" {
		return args
	}
	n := normaliser{app: app}
	rest := args[1:]
	for len(rest) > 0 {
		arg := rest[0]
		rest = rest[1:]
		switch {
		case arg == "--":
			n.plain = append(n.plain, rest...)
			rest = nil
		case len(arg) > 1 && arg[0] == '-':
			rest = n.flag(arg, rest)
		case n.command == nil && len(n.plain) == 0 && app.Command(arg) != nil:
			n.command, n.called = app.Command(arg), arg
		default:
			n.plain = append(n.plain, arg)
		}
	}
	out := append([]string{args[0]}, n.global...)
	if n.command != nil {
		out = append(append(out, n.called), n.own...)
	}
	if slices.ContainsFunc(n.plain, func(s string) bool { return strings.HasPrefix(s, "-") }) {
		out = append(out, "--")
	}
	return append(out, n.plain...)
}

type normaliser struct {
	app     *cli.App
	command *cli.Command
	called  string // as the user spelt the command
	global  []string
	own     []string // flags of the command
	plain   []string
}

// flag takes the flag arg and its values off rest.
func (n *normaliser) flag(arg string, rest []string) []string {
	spelt, value, hasValue := strings.Cut(arg, "=")
	name := strings.TrimLeft(spelt, "-")
	into := &n.own
	var flag cli.Flag
	if n.command != nil {
		flag = findFlag(n.command.Flags, name)
	}
	if flag == nil {
		if flag = findFlag(append(n.app.Flags, cli.VersionFlag), name); flag != nil || n.command == nil {
			into = &n.global
		}
	}
	if flag == nil {
		*into = append(*into, arg)
		return rest
	}
	// Package cli refuses one flag in two spellings.
	spelt = "--" + flag.Names()[0]
	if isSwitch(flag) {
		if hasValue {
			spelt += "=" + value
		}
		*into = append(*into, spelt)
		return rest
	}
	if !hasValue && len(rest) > 0 {
		value, rest, hasValue = rest[0], rest[1:], true
	}
	*into = append(*into, spelt)
	if hasValue {
		*into = append(*into, value)
	}
	if n.command == nil || !slices.Contains(multiple[n.command.Name], flag.Names()[0]) {
		return rest
	}
	for len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		*into = append(*into, spelt, rest[0])
		rest = rest[1:]
	}
	return rest
}

func findFlag(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func isSwitch(f cli.Flag) bool {
	_, ok := f.(*cli.BoolFlag)
	return ok
}
