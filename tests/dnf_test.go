package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openeuler/syscare/tests/redisrpm"
	"github.com/openeuler/syscare/tests/vm"
)

// textOf is a shell script that prints a digest of the code of a running program, as
// it is in its memory.
const textOf = `python3 - <<'END'
import hashlib, subprocess
pid = subprocess.check_output(["pidof", "-s", "redis-server"]).decode().strip()
for line in open("/proc/%s/maps" % pid):
    field = line.split()
    if field[1] == "r-xp" and "/redis-server" in line:
        start, end = (int(x, 16) for x in field[0].split("-"))
        mem = open("/proc/%s/mem" % pid, "rb")
        mem.seek(start)
        print(pid, hashlib.sha256(mem.read(end - start)).hexdigest())
END`

// An operator's day: a CVE is known, dnf shows what there is against it, patches the
// server that runs under load, brings the next version, and takes it all back.
func TestDayWithDnf(t *testing.T) {
	needTools(t, "createrepo_c", "modifyrepo_c", "git")
	packages := redisrpm.Require(t)
	first, second := patchRPM(t, buildPatch(t, packages, "CVE-2025-32023")), secondVersion(t, packages)
	v := vm.New(t)
	notes := filepath.Join(t.TempDir(), "notes")
	require.NoError(t, os.WriteFile(notes, []byte("the update\n"), 0o644))
	cold := prebuilt(t, "redis", "7.0.15", "2", notes, "/usr/share/doc/redis-notes")
	own := syscareRPMs(t)
	base := baseRPM(t, append([]string{packages.RPM, first}, own...)...)
	tool(t, "rpm", append([]string{"--root", v.Root, "--nosignature", "-i", base, packages.RPM}, own...)...)
	v.Enable("syscared.service")
	v.Enable("syscare-restore.service")

	// All that is to be installed is signed, and the repository that says so.
	key, public := newKey(t)
	signed := t.TempDir()
	redis := packages.RPM
	for _, file := range []*string{&first, &second, &cold, &redis} {
		*file = copyTo(t, *file, filepath.Join(signed, filepath.Base(*file)))
	}
	tool(t, "rpmsign", "--addsign", "--define", "__gpg "+tool(t, "sh", "-c", "printf %s $(command -v gpg)"), "--define", "_gpg_name "+key, first, second, cold, redis)
	put(t, v, "etc/pki", public)

	// The distribution's repository, before and after the second version.
	for repo, patches := range map[string][]string{"repo1": {first}, "repo2": {first, second}} {
		put(t, v, repo, append(patches, redis, cold)...)
		dir := filepath.Join(v.Root, repo)
		tool(t, "createrepo_c", "--quiet", dir)
		info := filepath.Join(t.TempDir(), "updateinfo.xml")
		must(t, "advisory", "--id", "SA-2026-1", "--severity", "Important", "--cold", cold, "--output", info, first)
		if len(patches) > 1 {
			must(t, "advisory", "--id", "SA-2026-2", "--severity", "Critical", "--output", info, second)
		}
		tool(t, "modifyrepo_c", "--mdtype=updateinfo", info, filepath.Join(dir, "repodata"))
		tool(t, "gpg", "--batch", "--armor", "--detach-sign", filepath.Join(dir, "repodata/repomd.xml"))
	}
	repos := filepath.Join(v.Root, "etc/yum.repos.d")
	require.NoError(t, os.MkdirAll(repos, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(repos, "test.repo"), []byte("[test]\nname=test\nbaseurl=file:///repo1\ngpgcheck=1\nrepo_gpgcheck=1\ngpgkey=file:///etc/pki/key.asc\nmetadata_expire=0\n"), 0o644))
	v.Boot()
	dnf := func(args string) string {
		t.Helper()
		return v.Run("dnf -q -y --releasever=1 " + args + " 2>&1")
	}

	v.Run("systemd-run -q --unit=redis redis-server --save '' && for i in $(seq 50); do redis-cli ping && break; sleep 0.2; done")
	v.Run("cp /usr/bin/redis-cli /root; systemd-run -q --unit=load redis-benchmark -c 10 -l -q -t set,get,lpush")
	pristine := v.Run(textOf)

	const patch1, patch2 = "patch-redis-7.0.15-1-HP001-1-1.x86_64", "patch-redis-7.0.15-1-HP001-2-1.x86_64"
	row := func(fields ...string) string { return "(?m)^" + strings.Join(fields, ` +`) + `$` }
	q := regexp.QuoteMeta
	require.Regexp(t, row("CVE-2025-32023", "Important/Sec.", q("redis-7.0.15-2.x86_64"), q(patch1)), dnf("hot-updateinfo list cves"))
	require.Empty(t, dnf("hot-updateinfo list cves --cve CVE-2000-1"))
	require.Contains(t, dnf("updateinfo list cves"), "CVE-2025-32023", "dnf itself reads the advisory")

	require.Contains(t, dnf("hotupgrade --cve CVE-2025-32023"), "Live patches:\n  redis-7.0.15-1/HP001-1-1: ACTIVED, processes: 1, stopped for ")
	require.NotEqual(t, pristine, v.Run(textOf))
	require.Equal(t, strings.Fields(pristine)[0], strings.Fields(v.Run(textOf))[0], "the same process")
	require.Regexp(t, row("CVE-id", "base-pkg/hotpatch", "status")+`\n`+row("CVE-2025-32023", "redis-7.0.15-1/HP001-1-1", "ACTIVED")[4:], dnf("hotpatch --list cves"))
	require.Regexp(t, row("redis-7.0.15-1/HP001-1-1", "ACTIVED"), dnf("hotpatch --list"))
	require.Empty(t, dnf("hot-updateinfo list cves"))
	require.Regexp(t, row("CVE-2025-32023", "Important/Sec.", "-", q(patch1)), dnf("hot-updateinfo list cves --installed"))
	require.Contains(t, dnf("hotpatch --deactive HP001"), "redis-7.0.15-1/HP001-1-1: DEACTIVED")
	require.Contains(t, dnf("hotpatch --active HP001"), "redis-7.0.15-1/HP001-1-1: ACTIVED")
	require.Contains(t, dnf("hotpatch --accept HP001"), "redis-7.0.15-1/HP001-1-1: ACCEPTED")

	// The next version takes the place of the first, and stays accepted.
	v.Run("sed -i s/repo1/repo2/ /etc/yum.repos.d/test.repo")
	require.Regexp(t, row("CVE-2025-49844", "Critical/Sec.", "-", q(patch2)), dnf("hot-updateinfo list cves --available"))
	one := v.Run(textOf)
	require.Contains(t, dnf("upgrade 'patch-*'"), "redis-7.0.15-1/HP001-2-1: ACCEPTED, processes: 1, stopped for ")
	two := v.Run(textOf)
	require.NotContains(t, []string{pristine, one}, two)
	require.NotContains(t, dnf("hotpatch --list"), "HP001-1-1")

	// A package that nobody has signed, or that somebody has changed, is not installed.
	for _, how := range []string{"rpmsign --delsign", "sed -i '$ s/./X/'"} {
		out, code := v.Try("mkdir -p /bad && cp /repo2/" + patch2 + ".rpm /bad && " + how + " /bad/*.rpm >/dev/null; dnf -q -y --releasever=1 --setopt=localpkg_gpgcheck=1 reinstall /bad/*.rpm 2>&1")
		require.NotZero(t, code, out)
		require.Contains(t, out, "GPG check FAILED")
	}
	require.Equal(t, two, v.Run(textOf))

	// Taken out, and back to come again after a boot, in one command.
	dnf("remove 'patch-*'")
	require.Equal(t, pristine, v.Run(textOf))
	_, code := v.Try("dnf -q -y --releasever=1 hotupgrade redis-7.0.15-1/HP009")
	require.NotZero(t, code)
	require.Contains(t, dnf("hotupgrade --takeover redis-7.0.15-1/HP001"), "redis-7.0.15-1/HP001-2-1: ACCEPTED, processes: 1")
	require.Equal(t, two, v.Run(textOf))
	dnf("hotupgrade") // nothing is left to do

	// What dnf 5 would call says the same as the plugin.
	actions := v.Run("grep -v '^#' /etc/dnf/libdnf5-plugins/actions.d/syscare.actions")
	require.Equal(t, 2, strings.Count(actions, "\n"))
	for line := range strings.Lines(actions) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 5)
		require.Len(t, fields, 5, line)
		require.Contains(t, []string{"pre_transaction", "post_transaction"}, fields[0])
		out := v.Run(strings.ReplaceAll(fields[4], "${pkg.name}", "redis"))
		require.Equal(t, fields[0] == "pre_transaction", strings.HasPrefix(out, "Warning: redis is replaced; "), out)
	}

	// An update of redis warns; nothing keeps it from being installed.
	require.Contains(t, dnf("upgrade redis"), "Warning: redis is replaced; what runs goes on with the old program and its patch redis-7.0.15-1/HP001-2-1")
	require.Equal(t, two, v.Run(textOf))

	require.Contains(t, dnf("remove 'patch-*'"), "redis-7.0.15-1/HP001-2-1: NOT-APPLIED, processes: 1, stopped for ")
	require.Equal(t, pristine, v.Run(textOf), "the same process, and every byte as before")

	// Patches follow the packages that they are for.
	dnf("hotpatch auto")
	dnf("downgrade redis-7.0.15-1")
	require.Equal(t, patch2+"\n", v.Run("rpm -qa 'patch-*'"))
	dnf("hotpatch manual")
	require.Contains(t, v.Run("cat /etc/dnf/plugins/syscare.conf"), "auto = false")
	require.Empty(t, v.Run("systemctl stop load; journalctl --sync; journalctl -q -u load -o cat | grep -i error || :"), "no request failed")
	require.Contains(t, v.Run("/root/redis-cli ping"), "PONG")
}
