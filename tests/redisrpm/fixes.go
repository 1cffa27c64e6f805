package redisrpm

import "strings"

// A Fix is one security fix that Debian made to Redis 7.0.15 after the state
// that the RPM packages.
type Fix struct {
	// Name is the CVE, and the argument of Packages.PatchFile.
	Name    string
	Summary string
	// Programs are the executables of the package in which code changes.
	Programs []string
	// Functions change in the program that Debian 12's gcc makes, or are new if
	// marked with a plus sign.
	Functions []string
	// Check tells the fixed program from the other; nil if the difference shows
	// only in memory.
	Check *Check
}

// A Check is a command whose output shows whether the fix is in force.
type Check struct {
	// Command is a program of the package with its arguments. The arguments for
	// the connection go between the two if the program is redis-cli.
	Command []string
	// Before and After are contained in what the command prints, the first
	// without the fix and the second with it. Without Before the command is
	// only for the fixed program: the other one crashes.
	Before, After string
	// New says that the command is itself the program being fixed, so that only
	// one started while the patch is active shows the difference.
	New bool
	// Log, if set, is contained in what the server logs during the command
	// without the fix, and not with it; Preload is the C source (in testdata) of
	// the library with which the server must have been started (LD_PRELOAD) for
	// this to happen.
	Log, Preload string
}

// corruptHLL stores a HyperLogLog whose run lengths add up to 2^32 + 16384:
// the 32-bit sum that the flawed code forms looks right. It has no register
// values, so that nothing is ever written out of bounds: the flawed server
// takes it for an empty one.
const corruptHLL = `
local header = 'HYLL' .. string.char(1,0,0,0, 0,0,0,0,0,0,0,128)
redis.call('SET', KEYS[1], header .. string.rep(string.char(127,255), 262145))
return 'counted ' .. redis.call('PFCOUNT', KEYS[1])`

// longName is longer than the 4096 bytes that a path may have.
var longName = strings.Repeat("a", 4200)

// Fixes returns the fixes that live patching must deliver.
func Fixes() []Fix {
	return []Fix{
		{
			Name:     "CVE-2025-32023",
			Summary:  "out of bounds write in HyperLogLog commands",
			Programs: []string{"redis-server"},
			Functions: []string{
				"hllSparseToDense", "hllSparseRegHisto", "hllMerge",
			},
			Check: &Check{
				Command: []string{"redis-cli", "EVAL", corruptHLL, "1", "hll:check"},
				Before:  "counted 0",
				After:   "INVALIDOBJ Corrupted HLL object detected",
			},
		},
		{
			Name:     "CVE-2025-46817",
			Summary:  "integer overflow in Lua's unpack",
			Programs: []string{"redis-server"},
			// luaH_getnum is also inlined into the three after it.
			Functions: []string{"luaB_unpack", "luaH_getnum", "luaH_getn", "luaH_setnum", "resize"},
			Check: &Check{
				Command: []string{"redis-cli", "EVAL", "return {unpack({1,2,3}, 0, 2147483647)}", "0"},
				After:   "too many results to unpack",
			},
		},
		{
			Name:      "CVE-2025-49844",
			Summary:   "use after free in Lua's parser",
			Programs:  []string{"redis-server"},
			Functions: []string{"luaY_parser"},
		},
		{
			Name:      "CVE-2025-48367",
			Summary:   "one failing connection holds up the others",
			Programs:  []string{"redis-server"},
			Functions: []string{"+anetAcceptFailureNeedsRetry", "clusterAcceptHandler", "acceptTcpHandler", "acceptTLSHandler", "acceptUnixHandler"},
			Check: &Check{
				Command: []string{"redis-cli", "PING"},
				Before:  "PONG",
				After:   "PONG",
				Log:     "Accepting client connection",
				Preload: "accept_fault.c",
			},
		},
		{
			Name:      "CVE-2025-27151",
			Summary:   "stack overflow by a long file name in redis-check-aof",
			Programs:  []string{"redis-server"},
			Functions: []string{"redis_check_aof_main"},
			Check: &Check{
				Command: []string{"redis-check-aof", longName},
				Before:  "buffer overflow detected",
				After:   "Error: filepath is too long (exceeds PATH_MAX)",
				New:     true,
			},
		},
	}
}

// Refused returns fixes that must be refused: they apply, but a running
// process could not take them without damage.
func Refused() []Fix {
	return []Fix{{
		Name:     "CVE-2025-46818",
		Summary:  "Lua scripts can change the metatables of basic types; the fix adds a member to struct redisServer and entries to tables with initialisers",
		Programs: []string{"redis-server"},
	}}
}
