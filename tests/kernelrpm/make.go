package kernelrpm

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/openeuler/syscare/tests/debian"
)

// Kernel is one of Debian's kernels, all of which its gcc 12 has compiled.
type Kernel struct {
	Release string // what uname -r says on it

	version  string // of Debian's packages of it
	next     string // in which Debian has fixed what is wrong with it; "": that is not looked at
	backport bool   // it comes from the archive of backports
}

// Stable is the kernel of Debian 12, and Backport a newer one for it, whose functions have
// room before them (CALL_PADDING).
var (
	Stable   = Kernel{Release: "6.1.0-54-cloud-amd64", version: "6.1.190-1", next: "6.1.192-1"}
	Backport = Kernel{Release: "6.12.95+deb12-cloud-amd64", version: "6.12.95-1~bpo12+1", backport: true}
)

// Version is that of the sources and of the packages for RPM.
func (k Kernel) Version() string {
	version, _, _ := strings.Cut(k.version, "-")
	return version
}

// Archive is the line of apt's sources for the kernel; "": it is in those of Debian 12.
func (k Kernel) Archive() string {
	if !k.backport {
		return ""
	}
	return "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main"
}

// source is the name of the package with the sources, and of their directory.
func (k Kernel) source() string {
	return "linux-source-" + strings.Join(strings.Split(k.Version(), ".")[:2], ".")
}

//go:embed kernel.spec
var spec string

// Packages are the packages of a kernel, and what Debian has fixed since.
type Packages struct {
	Kernel
	SourceRPM, DebuginfoRPM string
	Fixes                   string // directory with the patch files of Fixes
	Sources                 string // directory with some files of the kernel's sources
}

// modules are those whose debug information is in the package, as patterns below
// /lib/modules/RELEASE/kernel. All of them would be 1.1 GB more.
var modules = []string{"drivers/net/dummy.ko", "drivers/net/team/*.ko", "fs/nfsd/*.ko", "fs/lockd/*.ko", "net/sunrpc/sunrpc.ko", "fs/nfs_common/*.ko", "net/sched/*.ko", "lib/*.ko"}

// Make gives the packages of a kernel, from the cache if they are there; what it does
// otherwise is written to log and takes a minute.
func Make(ctx context.Context, k Kernel, log io.Writer) (*Packages, error) {
	cache, err := debian.Cache()
	if err != nil {
		return nil, err
	}
	unlock, err := debian.Lock(filepath.Join(cache, "kernel.lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	key := sha256.Sum256(fmt.Appendf([]byte(spec), "%v %v %v %v", k, modules, Fixes, sources))
	dir := filepath.Join(cache, "kernel-"+k.version+"-"+hex.EncodeToString(key[:4]))
	if err := debian.Entry(dir, func(dir string) error { return k.build(ctx, dir, log) }); err != nil {
		return nil, err
	}
	return &Packages{
		Kernel: k, SourceRPM: filepath.Join(dir, k.sourceRPM()), DebuginfoRPM: filepath.Join(dir, k.debuginfoRPM()),
		Fixes: filepath.Join(dir, "fixes"), Sources: filepath.Join(dir, "trees/a"),
	}, nil
}

func (k Kernel) sourceRPM() string    { return "kernel-" + k.Version() + "-1.src.rpm" }
func (k Kernel) debuginfoRPM() string { return "kernel-debuginfo-" + k.Version() + "-1.x86_64.rpm" }

// build makes the packages in dir.
func (k Kernel) build(ctx context.Context, dir string, log io.Writer) error {
	top := filepath.Join(dir, "rpmbuild")
	sources, shipped := filepath.Join(top, "SOURCES"), filepath.Join(top, "shipped")
	debug := filepath.Join(shipped, "usr/lib/debug/lib/modules", k.Release)
	for _, d := range []string{sources, debug, filepath.Join(shipped, "boot")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := debian.Run(ctx, dir, log, "sh", "-e", "-c", k.fetchScript(), "sh", sources, shipped, debug); err != nil {
		return err
	}
	text := strings.NewReplacer("@VERSION@", k.Version(), "@RELEASE@", k.Release, "@SOURCE@", k.source()).Replace(spec)
	if err := os.WriteFile(filepath.Join(top, "kernel.spec"), []byte(text), 0o644); err != nil {
		return err
	}
	for _, stage := range [][]string{{"-bs"}, {"-bb", "--noprep"}} {
		args := append(stage, "--nodeps", "--define", "_topdir "+top, "--define", "shipped "+shipped, "--define", "dist %{nil}", "--define", "_buildhost localhost", filepath.Join(top, "kernel.spec"))
		if stage[0] == "-bb" {
			if err := os.MkdirAll(filepath.Join(top, "BUILD", k.source()), 0o755); err != nil {
				return err
			}
			// The binaries are there: make has nothing to do.
			makefile := "bzImage modules:\n"
			if err := os.WriteFile(filepath.Join(top, "BUILD", k.source(), "Makefile"), []byte(makefile), 0o644); err != nil {
				return err
			}
		}
		if err := debian.Run(ctx, dir, log, "rpmbuild", args...); err != nil {
			return err
		}
	}
	for _, name := range []string{"SRPMS/" + k.sourceRPM(), "RPMS/x86_64/" + k.debuginfoRPM()} {
		if err := os.Rename(filepath.Join(top, name), filepath.Join(dir, filepath.Base(name))); err != nil {
			return err
		}
	}
	if err := k.keepSources(ctx, dir, filepath.Join(sources, k.source()+".tar.xz"), log); err != nil {
		return err
	}
	return os.RemoveAll(top)
}

// fetchScript gets Debian's packages and puts what is in them into its arguments: the
// directories for sources, for all that was shipped, and for its debug information.
func (k Kernel) fetchScript() string {
	var wanted []string
	for _, m := range modules {
		wanted = append(wanted, "./usr/lib/debug/lib/modules/"+k.Release+"/kernel/"+m)
	}
	names := []string{k.source() + "=" + k.version, "linux-headers-" + k.Release + "=" + k.version, "linux-image-" + k.Release + "-dbg=" + k.version}
	if k.next != "" {
		names = append(names, k.source()+"="+k.next)
	}
	return strings.NewReplacer("@PACKAGES@", strings.Join(names, " "), "@ARCHIVE@", k.Archive(), "@SOURCE@", k.source(), "@VERSION@", k.version, "@NEXT@", k.next,
		"@RELEASE@", k.Release, "@WANTED@", strings.Join(wanted, " ")).Replace(`
sources=$1 shipped=$2 debug=$3
mkdir fetched; cd fetched
options="-q -o APT::Sandbox::User="
if [ -n '@ARCHIVE@' ]; then
	echo '@ARCHIVE@' >list; mkdir -p lists/partial
	options="$options -o Dir::Etc::SourceList=$PWD/list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$PWD/lists -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache="
fi
apt-get $options download @PACKAGES@ || { apt-get $options update; apt-get $options download @PACKAGES@; }
unpack() { dpkg-deb --fsys-tarfile $1 | tar -xO $2; }
unpack @SOURCE@_@VERSION@_all.deb ./usr/src/@SOURCE@.tar.xz >"$sources"/@SOURCE@.tar.xz
[ -z '@NEXT@' ] || unpack @SOURCE@_@NEXT@_all.deb ./usr/src/@SOURCE@.tar.xz >../next.tar.xz
unpack "linux-headers-@RELEASE@_*.deb" ./usr/src/linux-headers-@RELEASE@/.config >"$sources"/config-@RELEASE@
cp "$sources"/config-@RELEASE@ "$shipped"/boot/
mkdir dbg
dpkg-deb --fsys-tarfile linux-image-@RELEASE@-dbg_*.deb | tar -x -C dbg --wildcards ./usr/lib/debug/boot/vmlinux-@RELEASE@ @WANTED@
mv dbg/usr/lib/debug/boot/vmlinux-@RELEASE@ "$debug"/vmlinux
cd dbg/usr/lib/debug/lib/modules/@RELEASE@
find kernel -name '*.ko' | while read -r name; do mkdir -p "$debug/$(dirname "$name")"; mv "$name" "$debug/$name.debug"; done
cd "$OLDPWD"/..
rm -rf fetched
`)
}
