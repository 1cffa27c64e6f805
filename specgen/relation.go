package specgen

import (
	"strings"

	"github.com/google/rpmpack"

	"github.com/openeuler/syscare/state/metadata"
)

// isaNames are RPM's %{_isa} suffixes, by architecture: rpmbuild provides each
// package under that name too.
var isaNames = map[string]string{"x86_64": "(x86-64)", "aarch64": "(aarch-64)", "riscv64": "(riscv-64)"}

// A relation is a Requires or Provides of the patch package.
type relation struct {
	Name string
	Op   string // "", "=", ">=", "<="
	EVR  string
	When string // scriptlets that need it: "" or "preun,posttrans"
}

// String is the relation as a spec writes it.
func (r relation) String() string {
	return strings.TrimSpace(r.Name + " " + r.Op + " " + r.EVR)
}

// requires are what the patch package needs beyond RPM features and the
// shell of its scriptlets, which rpmbuild adds by itself.
func requires(p *metadata.Patch) []relation {
	return []relation{
		{Name: p.Target.Name, Op: ">=", EVR: p.Target.EVR()},
		{Name: "syscare"},
		{Name: "syscare", When: "preun,posttrans"},
	}
}

// provides are what the patch package offers beyond its own name.
func provides(p *metadata.Patch) []relation {
	list := []relation{
		{Name: "syscare-target(" + p.Target.Name + ")", Op: "=", EVR: p.Target.EVR()},
		{Name: "syscare-patch(" + p.Target.Name + "/" + p.Name + ")", Op: "=", EVR: p.Version + "-" + p.Release},
	}
	for _, cve := range p.CVEs {
		list = append(list, relation{Name: "syscare-cve(" + cve + ")"})
	}
	return list
}

// obsoletes are the packages that rpm takes away when this one comes.
func obsoletes(p *metadata.Patch) []relation {
	var list []relation
	for _, o := range p.Obsoletes {
		list = append(list, relation{Name: o.Name, Op: "<=", EVR: o.Version + "-" + o.Release})
	}
	return list
}

// Relations are what a package of the patch "provides", "requires" or "obsoletes", as a
// spec writes it; nil for another kind.
func Relations(kind string, p *metadata.Patch) []string {
	var list []relation
	switch kind {
	case "provides":
		list = provides(p)
	case "requires":
		list = requires(p)
	case "obsoletes":
		list = obsoletes(p)
	default:
		return nil
	}
	text := []string{}
	for _, r := range list {
		if r.When == "" { // an ordering of scriptlets, which the spec must say
			text = append(text, r.String())
		}
	}
	return text
}

// Flags of dependencies, from RPM's rpmds.h.
const (
	sensePostTrans = 1 << 5
	senseInterp    = 1 << 8
	sensePreUn     = 1 << 11
)

// packed gives the relation to rpmpack.
func (r relation) packed() *rpmpack.Relation {
	p := &rpmpack.Relation{Name: r.Name, Version: r.EVR}
	switch r.Op {
	case "=":
		p.Sense = rpmpack.SenseEqual
	case ">=":
		p.Sense = rpmpack.SenseGreater | rpmpack.SenseEqual
	case "<=":
		p.Sense = rpmpack.SenseLess | rpmpack.SenseEqual
	}
	if r.When != "" {
		p.Sense |= sensePreUn | sensePostTrans
	}
	return p
}

// implied are the requirements that rpmbuild would add.
func implied() rpmpack.Relations {
	const atMost = rpmpack.SenseRPMLIB | rpmpack.SenseLess | rpmpack.SenseEqual
	return rpmpack.Relations{
		{Name: "/bin/sh", Sense: senseInterp | sensePostTrans},
		{Name: "/bin/sh", Sense: senseInterp | sensePreUn},
		{Name: "rpmlib(CompressedFileNames)", Version: "3.0.4-1", Sense: atMost},
		{Name: "rpmlib(FileDigests)", Version: "4.6.0-1", Sense: atMost},
	}
}
