package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Task is a thread, of a process or of the kernel.
type Task struct {
	PID, TID int
	Name     string
	// Stack are the functions that it is in, the innermost first; empty if they
	// cannot be read.
	Stack []string
}

func (t Task) String() string {
	text := fmt.Sprintf("%s (%d)", t.Name, t.TID)
	if len(t.Stack) > 0 {
		text += " in " + strings.Join(t.Stack[:min(len(t.Stack), 4)], " < ")
	}
	return text
}

// waiting lists the tasks that are not yet in the state which the kernel takes them to:
// true for the patched one. See Documentation/livepatch/livepatch.rst on
// /proc/PID/patch_state: -1 while nothing happens, 0 unpatched, 1 patched.
func waiting(patched bool) []Task {
	want := "0"
	if patched {
		want = "1"
	}
	dirs, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*")
	if err != nil {
		return nil
	}
	var tasks []Task
	for _, dir := range dirs {
		state, err := os.ReadFile(filepath.Join(dir, "patch_state"))
		if text := strings.TrimSpace(string(state)); err != nil || text == want || text == "-1" {
			continue // it has ended, or is done
		}
		t := Task{}
		t.TID, _ = strconv.Atoi(filepath.Base(dir))
		t.PID, _ = strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(dir))))
		name, _ := os.ReadFile(filepath.Join(dir, "comm"))
		t.Name = strings.ToValidUTF8(strings.TrimSpace(string(name)), "?")
		stack, _ := os.ReadFile(filepath.Join(dir, "stack"))
		for line := range strings.Lines(string(stack)) { // "[<0>] function+0x1/0x2"
			if fields := strings.Fields(line); len(fields) > 1 {
				function, _, _ := strings.Cut(fields[1], "+")
				t.Stack = append(t.Stack, function)
			}
		}
		tasks = append(tasks, t)
	}
	return tasks
}
