package kernelrpm

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/openeuler/syscare/tests/debian"
)

const (
	// Release is what uname -r says on the kernel.
	Release = "6.1.0-54-cloud-amd64"
	// version is that of Debian's packages of it, next the one in which Debian has fixed
	// what is wrong with it.
	version, next = "6.1.190-1", "6.1.192-1"
)

//go:embed kernel.spec
var spec string

// Packages are the packages of the kernel, and what Debian has fixed since.
type Packages struct {
	SourceRPM, DebuginfoRPM string
	Fixes                   string // directory with the patch files of Fixes
	Sources                 string // directory with some files of the kernel's sources
}

// modules are those whose debug information is in the package, as patterns below
// /lib/modules/RELEASE/kernel. All of them would be 1.1 GB more.
var modules = []string{"drivers/net/dummy.ko", "drivers/net/team/*.ko", "fs/nfsd/*.ko", "fs/lockd/*.ko", "net/sunrpc/sunrpc.ko", "fs/nfs_common/*.ko", "net/sched/*.ko", "lib/*.ko"}

// Make gives the packages, from the cache if they are there; what it does otherwise is
// written to log and takes a minute.
func Make(ctx context.Context, log io.Writer) (*Packages, error) {
	cache, err := debian.Cache()
	if err != nil {
		return nil, err
	}
	unlock, err := debian.Lock(filepath.Join(cache, "kernel.lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	key := sha256.Sum256(fmt.Appendf([]byte(spec), "%v %v %v", modules, Fixes, sources))
	dir := filepath.Join(cache, "kernel-"+version+"-"+hex.EncodeToString(key[:4]))
	if err := debian.Entry(dir, func(dir string) error { return build(ctx, dir, log) }); err != nil {
		return nil, err
	}
	name := "kernel-" + rpmVersion() + "-1"
	return &Packages{
		SourceRPM: filepath.Join(dir, name+".src.rpm"), DebuginfoRPM: filepath.Join(dir, "kernel-debuginfo-"+rpmVersion()+"-1.x86_64.rpm"),
		Fixes: filepath.Join(dir, "fixes"), Sources: filepath.Join(dir, "trees/a"),
	}, nil
}

func rpmVersion() string {
	upstream, _, _ := strings.Cut(version, "-")
	return upstream
}

// build makes the packages in dir.
func build(ctx context.Context, dir string, log io.Writer) error {
	top := filepath.Join(dir, "rpmbuild")
	sources, shipped := filepath.Join(top, "SOURCES"), filepath.Join(top, "shipped")
	debug := filepath.Join(shipped, "usr/lib/debug/lib/modules", Release)
	for _, d := range []string{sources, debug, filepath.Join(shipped, "boot")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := debian.Run(ctx, dir, log, "sh", "-e", "-c", fetchScript(), "sh", sources, shipped, debug); err != nil {
		return err
	}
	text := strings.NewReplacer("@VERSION@", rpmVersion(), "@RELEASE@", Release).Replace(spec)
	if err := os.WriteFile(filepath.Join(top, "kernel.spec"), []byte(text), 0o644); err != nil {
		return err
	}
	for _, stage := range [][]string{{"-bs"}, {"-bb", "--noprep"}} {
		args := append(stage, "--nodeps", "--define", "_topdir "+top, "--define", "shipped "+shipped, "--define", "dist %{nil}", "--define", "_buildhost localhost", filepath.Join(top, "kernel.spec"))
		if stage[0] == "-bb" {
			if err := os.MkdirAll(filepath.Join(top, "BUILD/linux-source-6.1"), 0o755); err != nil {
				return err
			}
			// The binaries are there: make has nothing to do.
			makefile := "bzImage modules:\n"
			if err := os.WriteFile(filepath.Join(top, "BUILD/linux-source-6.1/Makefile"), []byte(makefile), 0o644); err != nil {
				return err
			}
		}
		if err := debian.Run(ctx, dir, log, "rpmbuild", args...); err != nil {
			return err
		}
	}
	for _, name := range []string{"SRPMS/kernel-" + rpmVersion() + "-1.src.rpm", "RPMS/x86_64/kernel-debuginfo-" + rpmVersion() + "-1.x86_64.rpm"} {
		if err := os.Rename(filepath.Join(top, name), filepath.Join(dir, filepath.Base(name))); err != nil {
			return err
		}
	}
	next := filepath.Join(dir, "next.tar.xz")
	if err := makeFixes(ctx, dir, filepath.Join(sources, "linux-source-6.1.tar.xz"), next, log); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(top), os.Remove(next))
}

// fetchScript gets Debian's packages and puts what is in them into its arguments: the
// directories for sources, for all that was shipped, and for its debug information.
func fetchScript() string {
	var wanted []string
	for _, m := range modules {
		wanted = append(wanted, "./usr/lib/debug/lib/modules/"+Release+"/kernel/"+m)
	}
	return fmt.Sprintf(`
sources=$1 shipped=$2 debug=$3
mkdir fetched; cd fetched
fetch() { apt-get -q -o APT::Sandbox::User= download "$@"; }
fetch linux-source-6.1=%[1]s linux-source-6.1=%[2]s linux-headers-%[3]s=%[1]s linux-image-%[3]s-dbg=%[1]s ||
	{ apt-get -q update; fetch linux-source-6.1=%[1]s linux-source-6.1=%[2]s linux-headers-%[3]s=%[1]s linux-image-%[3]s-dbg=%[1]s; }
dpkg-deb --fsys-tarfile linux-source-6.1_%[1]s_all.deb | tar -xO ./usr/src/linux-source-6.1.tar.xz >"$sources"/linux-source-6.1.tar.xz
dpkg-deb --fsys-tarfile linux-source-6.1_%[2]s_all.deb | tar -xO ./usr/src/linux-source-6.1.tar.xz >../next.tar.xz
dpkg-deb --fsys-tarfile linux-headers-%[3]s_*.deb | tar -xO ./usr/src/linux-headers-%[3]s/.config >"$sources"/config-%[3]s
cp "$sources"/config-%[3]s "$shipped"/boot/
mkdir dbg
dpkg-deb --fsys-tarfile linux-image-%[3]s-dbg_*.deb | tar -x -C dbg --wildcards ./usr/lib/debug/boot/vmlinux-%[3]s %[4]s
mv dbg/usr/lib/debug/boot/vmlinux-%[3]s "$debug"/vmlinux
cd dbg/usr/lib/debug/lib/modules/%[3]s
find kernel -name '*.ko' | while read -r name; do mkdir -p "$debug/$(dirname "$name")"; mv "$name" "$debug/$name.debug"; done
cd "$OLDPWD"/..
rm -rf fetched
`, version, next, Release, strings.Join(wanted, " "))
}
