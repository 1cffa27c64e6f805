package specgen

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/rpmpack"

	"github.com/openeuler/syscare/rpmhooks"
)

// What both packages say about who made them.
const (
	group     = "Patch"
	buildHost = "syscare"
	packager  = "SysCare <syscare@openeuler.org>"
	home      = "https://gitee.com/openeuler/syscare"
	// Every RPM reads gzip without asking for a feature; patch objects are
	// small.
	compressor = "gzip"
)

// Tags that rpmpack has no field for, from RPM's rpmtag.h.
const (
	tagSourceRPM     = 1044
	tagChangelogTime = 1080
	tagChangelogName = 1081
	tagChangelogText = 1082
)

// WriteBinary writes the patch package into dir and gives its path.
func WriteBinary(c *Content, dir string) (string, error) {
	pkg, err := c.binary()
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := pkg.Write(&out); err != nil {
		return "", fmt.Errorf("%w: %w", ErrContent, err)
	}
	path := filepath.Join(dir, BinaryFile(c.Patch))
	if err := writeFile(path, out.Bytes()); err != nil {
		return "", fmt.Errorf("cannot write the patch package: %w", err)
	}
	return path, nil
}

func (c *Content) binary() (*rpmpack.RPM, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	files, err := c.installed()
	if err != nil {
		return nil, err
	}
	p := c.Patch
	pkg, err := rpmpack.NewRPM(rpmpack.RPMMetaData{
		Name: p.PackageName(), Version: p.Version, Release: p.Release, Arch: p.Arch, Epoch: rpmpack.NoEpoch,
		Summary: summary(p), Description: description(p), Licence: p.License, Group: group, Packager: packager, URL: home,
		BuildHost: buildHost, BuildTime: c.BuildTime, Compressor: compressor, OS: "linux",
		Requires: append(implied(), packed(requires(p))...), Provides: c.packedProvides(), Obsoletes: packed(obsoletes(p)),
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrContent, err)
	}
	pkg.AddPosttrans(rpmhooks.PostTrans(p.UUID))
	pkg.AddPreun(rpmhooks.PreUn(p.UUID))
	// rpmbuild names the source package without the architecture that we put
	// into its file name.
	pkg.AddCustomTag(tagSourceRPM, rpmpack.EntryString(p.SourceName()+"-"+p.Version+"-"+p.Release+".src.rpm"))
	pkg.AddCustomTag(tagChangelogTime, rpmpack.EntryInt32([]int32{int32(c.changelogTime().Unix())}))
	pkg.AddCustomTag(tagChangelogName, rpmpack.EntryStringSlice([]string{packager + " - " + p.Version + "-" + p.Release}))
	pkg.AddCustomTag(tagChangelogText, rpmpack.EntryStringSlice([]string{changes(p)}))

	dir := PatchRoot + "/" + p.UUID
	mtime := uint32(c.BuildTime.Unix())
	pkg.AddFile(rpmpack.RPMFile{Name: dir, Mode: 0o40755, Owner: "root", Group: "root", MTime: mtime})
	for _, f := range files {
		pkg.AddFile(rpmpack.RPMFile{Name: dir + "/" + f.name, Body: f.data, Mode: 0o100644, Owner: "root", Group: "root", MTime: mtime})
	}
	return pkg, nil
}

func packed(relations []relation) (list rpmpack.Relations) {
	for _, r := range relations {
		list = append(list, r.packed())
	}
	return list
}

func (c *Content) packedProvides() rpmpack.Relations {
	var list rpmpack.Relations
	if isa := isaNames[c.Patch.Arch]; isa != "" {
		own := relation{Name: c.Patch.PackageName() + isa, Op: "=", EVR: c.Patch.Version + "-" + c.Patch.Release}
		list = append(list, own.packed())
	}
	return append(list, packed(provides(c.Patch))...)
}

// writeFile writes a file that is whole or not there.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+strings.TrimPrefix(filepath.Base(path), ".")+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
