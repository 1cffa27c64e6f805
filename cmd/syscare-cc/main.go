// Command syscare-cc stands in for compilers and linkers during a recorded
// build: links named gcc, ld … lead to it. See package front.
package main

import (
	"os"

	"github.com/openeuler/syscare/engine/build/front"
)

func main() { os.Exit(front.Main()) }
