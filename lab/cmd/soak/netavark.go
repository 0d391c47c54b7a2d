package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// netavark is a running netavark with the plugin that it runs, in a process group of their own.
type netavark struct {
	cmd *exec.Cmd
	out bytes.Buffer
	err error
}

// stateDir is for netavark's own state, not the driver's.
const stateDir = "/tmp/soak"

func startNetavark(verb, namespace string, config []byte) *netavark {
	n := &netavark{cmd: exec.Command(netavarkPath(), "--config", stateDir, "--plugin-directory",
		"/usr/local/libexec/netavark", verb, "/run/netns/"+namespace)}
	n.cmd.Stdin, n.cmd.Stdout, n.cmd.Stderr = bytes.NewReader(config), &n.out, &n.out
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	n.err = errors.Join(os.MkdirAll(stateDir, 0o755), n.cmd.Start())
	return n
}

// netavarkPath is where the distributions have netavark.
func netavarkPath() string {
	for _, path := range []string{"/usr/lib/podman/netavark", "/usr/libexec/podman/netavark"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return "netavark"
}

func (n *netavark) waitForExit() error {
	if n.err != nil {
		return n.err
	}
	if err := n.cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(n.out.Bytes()))
	}
	return nil
}

// killProcesses kills both (0), netavark alone (1) or the plugin alone (2), and waits until neither
// runs any more: Podman's lock keeps two calls for one container apart.
func (n *netavark) killProcesses(whom int) {
	if n.err != nil {
		return
	}
	group := -n.cmd.Process.Pid
	switch whom {
	case 0:
		_ = syscall.Kill(group, syscall.SIGKILL)
	case 1:
		_ = n.cmd.Process.Kill()
	case 2:
		for _, pid := range pluginPIDs(n.cmd.Process.Pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_ = n.cmd.Wait()
	for syscall.Kill(group, 0) == nil {
		time.Sleep(time.Millisecond)
	}
}

// pluginPIDs lists the plugin's processes in a process group.
func pluginPIDs(group int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var found []int
	for _, path := range stats {
		data, _ := os.ReadFile(path)
		var pid, parent, of int
		var state string
		// PID (NAME) STATE PPID PGRP … (proc_pid_stat(5))
		head, rest, ok := strings.Cut(string(data), " (vxlan) ")
		if _, err := fmt.Sscan(head+" "+rest, &pid, &state, &parent, &of); ok && err == nil && of == group {
			found = append(found, pid)
		}
	}
	return found
}
