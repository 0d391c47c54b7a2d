package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// searchPath is PATH in hosts, and for what the lab runs on the machine: there root's own PATH may
// lack sbin.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// RunError is the error of a command in a host that did not succeed.
type RunError struct {
	Host   string
	Argv   []string
	Code   int // exit status; -1: killed by a signal, or not started
	Stdout string
	Stderr string
	Err    error
}

// Error returns the command, how it ended, and what it wrote to stderr, or else to stdout.
func (e *RunError) Error() string {
	said := strings.TrimSpace(e.Stderr)
	if said == "" {
		said = strings.TrimSpace(e.Stdout)
	}
	return fmt.Sprintf("%s: run %s: %v: %s", e.Host, strings.Join(e.Argv, " "), e.Err, said)
}

// Unwrap returns the error of os/exec.
func (e *RunError) Unwrap() error { return e.Err }

// Run runs a command in the host and returns its standard output without the last newlines. An
// error is a [*RunError]. Cancelling ctx kills the command. What it leaves in the background must
// not keep stdout or stderr open.
func (h *Host) Run(ctx context.Context, argv ...string) (string, error) {
	cmd := h.Command(ctx, argv...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	out := func() string { return strings.TrimRight(stdout.String(), "\n") }
	if err := cmd.Run(); err != nil {
		code := -1
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		}
		if ctx.Err() != nil {
			err = errors.Join(err, context.Cause(ctx))
		}
		return out(), &RunError{Host: h.name, Argv: argv, Code: code, Stdout: stdout.String(),
			Stderr: stderr.String(), Err: err}
	}
	return out(), nil
}

// Sh runs a shell script in the host, which ends at the first command that fails; see [Host.Run].
func (h *Host) Sh(ctx context.Context, script string) (string, error) {
	return h.Run(ctx, "sh", "-euc", script)
}

// Command returns a command in the host, not started yet and without a terminal. Cancelling ctx
// kills it and what it started, except for processes with a session of their own (such as a
// container's monitor).
func (h *Host) Command(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := h.Interactive(ctx, argv...)
	// nsenter waits for the command rather than becoming it, so a kill must reach both.
	cmd.SysProcAttr.Setpgid = true
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Interactive is like [Host.Command] for a command that may use the caller's terminal: it stays in
// the caller's process group, gets Ctrl-C with it, and cancelling ctx does not reach what it
// started.
func (h *Host) Interactive(ctx context.Context, argv ...string) *exec.Cmd {
	h.mu.Lock()
	defer h.mu.Unlock()
	args := append([]string{"-t", fmt.Sprint(h.init.PID), "-m", "-u", "-i", "-n", "-p", "-C", "--"}, argv...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Env = []string{"PATH=" + searchPath, "HOME=/root", "USER=root", "LANG=C.UTF-8"}
	if term := os.Getenv("TERM"); term != "" {
		cmd.Env = append(cmd.Env, "TERM="+term)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	switch {
	case h.leaf == nil:
		cmd.Err = fmt.Errorf("run command in %s: the host is not up", h.name)
	default:
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(h.leaf.Fd())
	}
	return cmd
}
