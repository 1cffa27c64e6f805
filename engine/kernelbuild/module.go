package kernelbuild

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/openeuler/syscare/engine/diff"
	"github.com/openeuler/syscare/engine/patchobject"
)

// registration is the C source of a livepatch module: it tells the kernel what is replaced
// by what. The functions are in another object, under names that C has no spelling for.
var registration = template.Must(template.New("").Parse(`// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/livepatch.h>
#include <linux/version.h>

{{range .Symbols}}extern int syscare_{{.Index}}(struct klp_object *object) __asm__("{{.Name}}");
{{end}}{{range $o, $object := .Objects}}
static struct klp_func functions_{{$o}}[] = {
{{range .Redirects}}	{ .old_name = "{{.Name}}", .new_func = (void *)syscare_{{.Index}}, .old_sympos = {{.Position}} },
{{end}}	{ }
};
{{end}}{{range $o, $object := .Objects}}{{if .Places}}
extern const struct {
	void *at;
	unsigned long size;
} {{$.PlacesPrefix}}{{.Module}}[];
{{end}}{{end}}{{if .Poke}}
extern const struct {
	void *(*poke)(void *address, const void *code, size_t length);
	void (*sync)(void);
	struct mutex *mutex;
} {{.Poke}};
{{end}}{{range $o, $object := .Objects}}{{if .Places}}
/* Before Linux 6.3 the module could not be loaded again without. */
static void clear_{{$o}}(struct klp_object *object)
{
	static const char zeros[8];
	int i;

{{range .Hooks}}{{if eq .Callback "post_unpatch"}}	syscare_{{.Index}}(object);
{{end}}{{end}}	mutex_lock({{$.Poke}}.mutex);
	for (i = 0; i < {{.Places}}; i++)
		{{$.Poke}}.poke({{$.PlacesPrefix}}{{.Module}}[i].at, zeros, {{$.PlacesPrefix}}{{.Module}}[i].size);
	{{$.Poke}}.sync();
	mutex_unlock({{$.Poke}}.mutex);
}
{{end}}{{end}}
static struct klp_object objects[] = {
{{range $o, $object := .Objects}}	{
{{if .Module}}		.name = "{{.Module}}",
{{end}}		.funcs = functions_{{$o}},
{{range .Hooks}}{{if not (and $object.Places (eq .Callback "post_unpatch"))}}		.callbacks.{{.Callback}} = {{.Cast}}syscare_{{.Index}},
{{end}}{{end}}{{if .Places}}		.callbacks.post_unpatch = clear_{{$o}},
{{end}}	},
{{end}}	{ }
};

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

static bool replace;
module_param(replace, bool, 0444);
MODULE_PARM_DESC(replace, "take the place of all other live patches at once");

static int __init patch_init(void)
{
	patch.replace = replace;
	return klp_enable_patch(&patch);
}

static void __exit patch_exit(void)
{
}

module_init(patch_init);
module_exit(patch_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
{{range .Namespaces}}#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
MODULE_IMPORT_NS({{.}});
#else
MODULE_IMPORT_NS("{{.}}");
#endif
{{end}}`))

type symbolName struct {
	Index int
	Name  string
}

type redirect struct {
	diff.Redirect
	Index int
}

type callback struct {
	Callback, Cast string
	Index          int
}

type patchedObject struct {
	Module    string
	Redirects []redirect
	Hooks     []callback
	Places    int
}

// callbacks are what the kernel calls our hooks: struct klp_callbacks of
// include/linux/livepatch.h. Those of which it ignores the result return nothing.
var callbacks = []struct {
	kind patchobject.HookKind
	name string
	cast string
}{
	{patchobject.PreApply, "pre_patch", ""}, {patchobject.PostApply, "post_patch", "(void *)"},
	{patchobject.PreRemove, "pre_unpatch", "(void *)"}, {patchobject.PostRemove, "post_unpatch", "(void *)"},
}

// registrationSource is the C source for what was made.
func registrationSource(made *diff.Livepatch, namespaces []string) ([]byte, error) {
	in := struct {
		Symbols    []symbolName
		Objects    []patchedObject
		Namespaces []string

		Poke, PlacesPrefix string // of what clears places; Poke is "" if nothing has to
	}{Namespaces: namespaces, PlacesPrefix: diff.PlacesPrefix}
	symbol := func(name string) (int, error) {
		if strings.ContainsAny(name, "\"\\\n") {
			return 0, fmt.Errorf("symbol %q cannot be named in C", name)
		}
		i := slices.IndexFunc(in.Symbols, func(s symbolName) bool { return s.Name == name })
		if i < 0 {
			i = len(in.Symbols)
			in.Symbols = append(in.Symbols, symbolName{i, name})
		}
		return i, nil
	}
	for _, p := range made.Patched {
		o := patchedObject{Module: p.Module, Places: p.Places}
		if p.Places > 0 {
			in.Poke = diff.PokeFunctions
		}
		for _, r := range p.Redirects {
			i, err := symbol(r.Symbol)
			if err != nil {
				return nil, err
			}
			o.Redirects = append(o.Redirects, redirect{r, i})
		}
		for _, c := range callbacks {
			if p.Hooks[c.kind] == "" {
				continue
			}
			i, err := symbol(p.Hooks[c.kind])
			if err != nil {
				return nil, err
			}
			o.Hooks = append(o.Hooks, callback{c.name, c.cast, i})
		}
		in.Objects = append(in.Objects, o)
	}
	var out bytes.Buffer
	err := registration.Execute(&out, in)
	return out.Bytes(), err
}

// link makes the module of that name in dir.
func (t *Tree) link(ctx context.Context, dir, name string, made *diff.Livepatch, exports map[string]diff.Export) ([]byte, error) {
	source, err := registrationSource(made, namespaces(made, exports))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for file, data := range map[string][]byte{
		"registration.c": source, "functions.o_shipped": made.Object,
		".functions.o.cmd": []byte("# not compiled here\n"), // modpost wants to see it
		"Makefile":         fmt.Appendf(nil, "obj-m := %[1]s.o\n%[1]s-y := registration.o functions.o\n", name),
	} {
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
			return nil, err
		}
	}
	if err := t.makeModule(ctx, dir, "modules"); err != nil {
		return nil, fmt.Errorf("link the module: %w", err)
	}
	linked, err := os.ReadFile(filepath.Join(dir, name+".ko"))
	if err != nil {
		return nil, err
	}
	return convertReferences(linked)
}

// namespaces lists those of the exports that the patch uses.
func namespaces(made *diff.Livepatch, exports map[string]diff.Export) (list []string) {
	for _, name := range made.Exports {
		if space := exports[name].Namespace; space != "" && !slices.Contains(list, space) {
			list = append(list, space)
		}
	}
	slices.Sort(list)
	return list
}
