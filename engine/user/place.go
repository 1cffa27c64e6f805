package user

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

const (
	// reach is what a 32-bit displacement bridges, less some room.
	reach = 1<<31 - 1<<20
	// lowEnd is where addresses stop fitting a sign-extended 32-bit field.
	lowEnd = 1 << 31
	// apart keeps a region from its neighbours, so that the kernel merges
	// nothing and small overruns fault.
	apart = 16 * pageSize
	// topOfUser is the end of the address space without five-level paging.
	topOfUser = 1<<47 - pageSize
)

// minAddress is the lowest address that the kernel lets a process map.
func minAddress() uint64 {
	data, err := os.ReadFile("/proc/sys/vm/mmap_min_addr")
	if err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64); err == nil {
			return max(n, 64<<10)
		}
	}
	return 64 << 10
}

// place chooses an address for size bytes within reach of all of target.
// Below the target comes first: above it the heap grows. Holes just above a
// heap or a program's data and just below a stack are used at their far end.
func place(maps []mapping, target span, size uint64, low uint64) (uint64, bool) {
	size = (size + pageSize - 1) &^ (pageSize - 1)
	fits := func(at uint64) bool {
		lo, hi := min(at, target.at), max(at+size, target.end())
		return hi-lo < reach && (target.end() > lowEnd || at+size <= lowEnd)
	}
	best, found := uint64(0), false
	consider := func(at uint64) {
		at &^= pageSize - 1
		if !fits(at) {
			return
		}
		distance := func(a uint64) uint64 { // below counts as nearer
			if a < target.at {
				return target.at - a
			}
			return a - target.at + reach
		}
		if !found || distance(at) < distance(best) {
			best, found = at, true
		}
	}
	start, below := low, mapping{}
	for i := 0; i <= len(maps); i++ {
		end, above := uint64(topOfUser), mapping{}
		if i < len(maps) {
			end, above = min(maps[i].start, topOfUser), maps[i]
		}
		if end > start && end-start >= size+2*apart {
			grows := bytes.Equal(above.name, []byte("[stack]"))
			heap := bytes.Equal(below.name, []byte("[heap]")) || below.end != 0 && below.end <= target.end()+pageSize && below.end >= target.end()
			if !grows {
				consider(end - apart - size)
			}
			if !heap {
				consider(start + apart)
			}
		}
		if i < len(maps) {
			start, below = max(start, maps[i].end), maps[i]
		}
	}
	return best, found
}
