package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const asNobody = `setpriv --reuid 65534 --regid 65534 --clear-groups "$@"`

// A build needs no root, no network, and no more than the chroots have in which packages
// are built. Wherever it is made, the package is the same.
func TestPlacesToBuild(t *testing.T) {
	needTools(t, "setpriv", "unshare", "rpmbuild")
	p := kinds["a static archive, with jobs that make shares"].pack(t)
	var first []byte
	for _, row := range []struct{ name, script string }{
		{"as root", `exec "$@"`},
		{"as an ordinary user", "exec " + asNobody},
		{"in a chroot, as another user", `
mount -t tmpfs tmpfs /mnt
cd /mnt
mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay root
mount -t proc proc root/proc
mount -t tmpfs tmpfs root/dev
for f in null zero urandom; do touch root/dev/$f; mount --bind /dev/$f root/dev/$f; done
mount --bind "$PLACE" "root$PLACE"
exec chroot root ` + asNobody},
	} {
		t.Run(row.name, func(t *testing.T) {
			place, err := os.MkdirTemp("", "place")
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, os.RemoveAll(place)) })
			require.NoError(t, os.Chmod(place, 0o777))
			in := func(name string) string { return filepath.Join(place, name) }
			for _, dir := range []string{"home", "work", "output", "bin", "input"} {
				require.NoError(t, os.Mkdir(in(dir), 0o777))
				require.NoError(t, os.Chmod(in(dir), 0o777))
			}
			copied := func(path, dir string) string {
				to := filepath.Join(in(dir), filepath.Base(path))
				info, err := os.Stat(path)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(to, mustRead(t, path), info.Mode()))
				return to
			}
			copied(filepath.Join(bin, "syscare-cc"), "bin")
			cmd := exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "sh", "-e", "-c", row.script, "sh",
				copied(filepath.Join(bin, "syscare"), "bin"), "build", "--patch_name", "HP001", "--workdir", in("work"), "--output", in("output"),
				"--source", copied(p.source, "input"), "--debuginfo", copied(p.debuginfo[0], "input"), "--patch", copied(p.patch, "input"))
			cmd.Env = append(os.Environ(), "PLACE="+place, "HOME="+in("home"))
			r := finish(t, cmd)
			require.Zero(t, r.code, r.stderr)
			requireEmpty(t, in("work"))
			made := mustRead(t, patchRPM(t, in("output")))
			if first == nil {
				first = made
			}
			require.Equal(t, first, made)
		})
	}
}
