package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// progress shows the stages of a build: a line for each, and on a terminal a
// bar that is redrawn in place.
type progress struct {
	mu    sync.Mutex
	w     io.Writer
	tty   bool
	name  string
	drawn string // the bar's line as it stands on the terminal
}

func newProgress(w io.Writer, tty bool) *progress { return &progress{w: w, tty: tty} }

// stage says that done of total steps of a stage are done; total is 0 if
// nobody knows. It may be called from several goroutines.
func (p *progress) stage(name string, done, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name != p.name {
		p.name = name
		p.finish()
		if !p.tty {
			fmt.Fprintf(p.w, "- %s\n", name)
		}
	}
	if !p.tty {
		return
	}
	line := "- " + name
	if total > 0 {
		line += " " + bar(done, total)
	}
	if line != p.drawn {
		// \x1b[K clears what a longer line left behind.
		fmt.Fprintf(p.w, "\r%s\x1b[K", line)
		p.drawn = line
	}
}

// end leaves the cursor on a line of its own.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
}

func (p *progress) finish() {
	if p.drawn != "" {
		fmt.Fprintln(p.w)
		p.drawn = ""
	}
}

func bar(done, total int) string {
	const width = 30
	done = min(max(done, 0), total)
	full := done * width / total
	return fmt.Sprintf("[%s%s] %d/%d", strings.Repeat("#", full), strings.Repeat(".", width-full), done, total)
}
