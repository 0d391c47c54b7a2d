package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// spawnSpec says how to start one of the lab's two kinds of long-lived process.
type spawnSpec struct {
	argv    []string
	env     []string
	cgroup  cgroup // made for it
	flags   uintptr
	log     string                  // file that gets what it prints
	connect func(pid process) error // runs beside it, before it is ready; may be nil
}

// startDetached starts a process that outlives the caller, and waits until it reports on descriptor
// 3 that it is ready.
func startDetached(ctx context.Context, spec spawnSpec) (process, error) {
	if err := spec.cgroup.makeDir(); err != nil {
		return process{}, err
	}
	group, err := spec.cgroup.openDir()
	if err != nil {
		return process{}, err
	}
	defer group.Close()
	log, err := os.OpenFile(spec.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return process{}, err
	}
	defer log.Close()
	ready, saysReady, err := os.Pipe()
	if err != nil {
		return process{}, err
	}
	defer ready.Close()

	cmd := exec.Command(spec.argv[0], spec.argv[1:]...) // not CommandContext: it outlives ctx
	cmd.Env = append([]string{"PATH=" + searchPath}, spec.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{saysReady}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: spec.flags,
		Setsid:     true, // Ctrl-C in the maker's terminal is not for it
		// Born in the cgroup: there is no moment at which it could escape a kill.
		UseCgroupFD: true,
		CgroupFD:    int(group.Fd()),
	}
	err = cmd.Start()
	saysReady.Close()
	if err != nil {
		return process{}, fmt.Errorf("start %s: %w", spec.argv[0], err)
	}
	go func() { _ = cmd.Wait() }() // reaps it, should it die before us

	self, err := identifyProcess(cmd.Process.Pid)
	if err == nil && spec.connect != nil {
		err = spec.connect(self)
	}
	return self, errors.Join(err, awaitReady(ctx, ready, spec.log))
}

// awaitReady reads until the other end says "ready", and else reports what it logged.
func awaitReady(ctx context.Context, ready *os.File, log string) error {
	deadline := time.Now().Add(30 * time.Second) // takes 0.1 s; a machine that is this late has another problem
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := ready.SetReadDeadline(deadline); err != nil {
		return err
	}
	answer := make([]byte, 16)
	if n, err := ready.Read(answer); n == 0 {
		said, _ := os.ReadFile(log)
		return fmt.Errorf("wait for it to be ready: %w; it said: %s", err, bytes.TrimSpace(said))
	}
	return nil
}
