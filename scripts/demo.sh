#!/bin/bash
# Fixes a security flaw in a redis-server that is serving a load, and takes the
# fix out again. The process is never restarted.
#
# Everything happens under build/demo: packages are installed there with a
# private rpm database, the server listens on a socket there. The machine's own
# packages, services and files are left alone. Needs root, because it changes a
# process; needs `make build` and what `make setup` installs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fix=CVE-2025-32023
target=redis-7.0.15-1
patch=HP001
identifier=$target/$patch-1-1

demo=$PWD/build/demo
root=$demo/root
server=
benchmark=
socketdir=

if [ -t 1 ]; then bold=$(tput bold 2>/dev/null || true) plain=$(tput sgr0 2>/dev/null || true); else bold='' plain=''; fi
step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
say() { printf '   %s\n' "$*"; }
show() { printf '   $ %s\n' "${*//$PWD\//}"; "$@" 2>&1 | sed 's/^/     /'; }
fail() { printf '\nThe demonstration failed: %s\n' "$*" >&2; exit 1; }

cleanup() {
    status=$?
    set +e
    # Only what this script started, by its process ids.
    [ -n "$benchmark" ] && kill "$benchmark" 2>/dev/null
    [ -n "$server" ] && kill "$server" 2>/dev/null
    wait 2>/dev/null
    [ -n "$socketdir" ] && rm -rf "$socketdir"
    if [ "$status" -ne 0 ]; then
        echo "What was made is kept in $demo for a look." >&2
    else
        rm -rf "$root" "$demo/work"
    fi
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

[ "$(id -u)" -eq 0 ] || fail "run it as root: it changes the memory of a process"
for program in syscare syscare-cc syscare-hook; do
    [ -x "bin/$program" ] || fail "bin/$program is missing: run \`make\`"
done

rm -rf "$demo"
mkdir -p "$demo/packages" "$demo/output" "$demo/work" "$root/var/lib/rpm"

# A Unix socket's path must be short, wherever this repository lies.
socketdir=$(mktemp -d /tmp/syscare-demo.XXXXXX)
socket=$socketdir/redis.sock

step "1. The packages of redis $target: source, program, debug information"
say "Built from Debian's source by rpmbuild the first time (about a minute), then cached."
go run ./tests/redisrpm/cmd/redis-rpms --output "$demo/packages" | sed "s|^$demo/packages/|   |"
fixfile=$(ls "$demo"/packages/*$fix.patch)

step "2. Build a live patch for $fix"
say "An integer overflow lets a crafted HyperLogLog write outside its buffer."
SECONDS=0
show bin/syscare build \
    --patch_name "$patch" \
    --patch_description "$fix - out of bounds write in HyperLogLog commands" \
    --source "$demo/packages/$target.src.rpm" \
    --debuginfo "$demo/packages/redis-debuginfo-7.0.15-1.x86_64.rpm" \
    --workdir "$demo/work" \
    --output "$demo/output" \
    --patch "$fixfile"
say "It took $SECONDS s."
patch_rpm=$demo/output/patch-$target-$patch-1-1.x86_64.rpm
[ -f "$patch_rpm" ] || fail "syscare build made no $patch_rpm"

step "3. Install redis and the patch package into build/demo/root"
say "A root of its own with its own rpm database, not this machine's. It has no C library"
say "and no shell, so dependencies are not checked and scriptlets are not run: the patch"
say "is installed, not yet applied."
install_rpm() {
    # Debian's rpm warns on every call that it is not the machine's package manager.
    rpm --root "$root" --dbpath /var/lib/rpm --nosignature -i --nodeps --noscripts "$@" 2> >(grep -v "^rpm: " >&2)
}
install_rpm "$demo/packages/$target.x86_64.rpm" "$patch_rpm"
rpm --root "$root" --dbpath /var/lib/rpm -qa 2>/dev/null | sort | sed 's/^/   installed: /'

step "4. Start the vulnerable server and put it under load"
"$root/usr/bin/redis-server" --port 0 --unixsocket "$socket" --save '' --appendonly no \
    --io-threads 4 --io-threads-do-reads yes --dir "$demo/work" >"$demo/redis.log" 2>&1 &
server=$!
cli() { "$root/usr/bin/redis-cli" -s "$socket" "$@"; }
for _ in $(seq 100); do
    [ "$(cli PING 2>/dev/null)" = PONG ] && break
    kill -0 "$server" 2>/dev/null || fail "redis-server ended: $(tail -3 "$demo/redis.log")"
    sleep 0.1
done
[ "$(cli PING)" = PONG ] || fail "redis-server does not answer"
say "redis-server runs as process $server with $(ls "/proc/$server/task" | wc -l) threads."
started=$(awk '{print $22}' "/proc/$server/stat")

"$root/usr/bin/redis-benchmark" -s "$socket" -c 20 -n 10000000 -l -q -t set,get \
    >"$demo/benchmark.log" 2>&1 &
benchmark=$!
say "redis-benchmark keeps 20 connections busy from now on."
sleep 1

# Stores a HyperLogLog whose run lengths add up to 2^32 + 16384 and counts it. It
# holds no register values, so that the flawed server writes nothing where it must
# not: it takes the object for a sound, empty one.
probe() {
    cli EVAL "redis.call('SET', KEYS[1], 'HYLL' .. string.char(1,0,0,0,0,0,0,0,0,0,0,128)
        .. string.rep(string.char(127,255), 262145))
        return redis.call('PFCOUNT', KEYS[1])" 1 demo:hll 2>&1 | head -1
}
expect() { # label, pattern
    local answer
    answer=$(probe)
    printf '   %-8s PFCOUNT of a corrupt object: %s\n' "$1" "${answer%% script:*}"
    # shellcheck disable=SC2053
    [[ $answer == $2 ]] || fail "expected an answer like \"$2\""
}
same_process() {
    [ "$(awk '{print $22}' "/proc/$server/stat" 2>/dev/null)" = "$started" ] ||
        fail "process $server is not the one that was started"
}
vulnerable=0
repaired='*INVALIDOBJ Corrupted HLL object detected*'

step "5. Before"
expect before "$vulnerable"

step "6. Apply the patch to the running process"
show bin/syscare --root "$root" -v apply "$identifier"
show bin/syscare --root "$root" status "$identifier"
same_process
expect patched "$repaired"

step "7. Take it out again"
show bin/syscare --root "$root" remove "$identifier"
same_process
expect removed "$vulnerable"

step "8. What the clients saw"
kill -0 "$benchmark" 2>/dev/null || fail "redis-benchmark ended early: $(tr '\r' '\n' <"$demo/benchmark.log" | tail -3)"
commands=$(cli INFO stats | sed -n 's/^total_commands_processed:\([0-9]*\).*/\1/p')
kill "$benchmark"; wait "$benchmark" 2>/dev/null || true; benchmark=
errors=$(tr '\r' '\n' <"$demo/benchmark.log" | grep -ciE 'error|closed|refused|reset' || true)
say "$commands commands served, $errors errors, process $server throughout."
[ "$errors" -eq 0 ] || fail "the clients saw errors, see $demo/benchmark.log"

printf '\n%sDone: fixed and unfixed without a restart and without a lost request.%s\n' "$bold" "$plain"
