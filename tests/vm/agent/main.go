// Command agent runs the shell scripts that come over a serial line: JSON strings,
// one a line. It answers each with a line of JSON, {"output", "code"}.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

func main() {
	if err := serve(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(line string) error {
	f, err := os.OpenFile(line, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	raw, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return err
	}
	raw.Iflag, raw.Oflag, raw.Lflag = 0, 0, 0
	raw.Cflag |= unix.CS8
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, raw); err != nil {
		return err
	}
	answers := json.NewEncoder(f)
	if err := answers.Encode("ready"); err != nil {
		return err
	}
	scripts := bufio.NewScanner(f)
	scripts.Buffer(nil, 1<<20)
	for scripts.Scan() {
		var script string
		if err := json.Unmarshal(scripts.Bytes(), &script); err != nil {
			return err
		}
		cmd := exec.Command("/bin/bash", "-c", script)
		out, _ := cmd.CombinedOutput()
		answer := struct {
			Output string `json:"output"`
			Code   int    `json:"code"`
		}{string(out), cmd.ProcessState.ExitCode()}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
	return scripts.Err()
}
