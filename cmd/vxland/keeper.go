package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"vxlan-driver/internal/accept"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/store"
)

// keeper takes systemd's place where it does not run: it starts the agent, and starts it again when
// it crashes. Otherwise containers would find no names until the next container starts.
type keeper struct {
	runAgent    func(context.Context) error // returns when the agent has exited
	agentNeeded func() bool                 // the host has a network that needs an agent
	log         *slog.Logger
}

const (
	// startupTime is how long the agent takes to start. One that exits with an error within it
	// cannot start, since its configuration is wrong or another agent has the lock. It is not
	// started again, and the plugin reports the error.
	startupTime = handOverTimeout + 500*time.Millisecond
	// stableAfter is how long an agent must run to be restarted at once. One that crashes earlier
	// is restarted with a growing delay, so that its messages do not fill /run, which is memory.
	stableAfter     = 10 * time.Second
	minRestartDelay = time.Second
	maxRestartDelay = time.Minute
)

// keepRunning restarts the agent until it exits by itself or ctx is done.
func (k keeper) keepRunning(ctx context.Context) error {
	var delay time.Duration
	for {
		started := time.Now()
		err := k.runAgent(ctx)
		uptime := time.Since(started)
		if err == nil || ctx.Err() != nil || uptime < startupTime && !hasCrashed(err) && !accept.IsShortage(err) {
			return err
		}
		if uptime > stableAfter {
			delay = 0
		}
		k.log.Error("the agent crashed or cannot be started; restarting it", "err", err, "delay", delay)
		if !k.waitWhileNeeded(ctx, delay) {
			return nil
		}
		delay = min(max(2*delay, minRestartDelay), maxRestartDelay)
	}
}

// waitWhileNeeded waits, and returns false as soon as no agent is needed.
func (k keeper) waitWhileNeeded(ctx context.Context, delay time.Duration) bool {
	for until := time.Now().Add(delay); k.agentNeeded(); {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(min(time.Until(until), minRestartDelay)):
		}
		if !time.Now().Before(until) {
			return true
		}
	}
	return false
}

// panicExitStatus is the exit status of a Go program that panics.
const panicExitStatus = 2

// hasCrashed tells whether a process was killed or panicked.
func hasCrashed(err error) bool {
	e, ok := errors.AsType[*exec.ExitError](err)
	return ok && (!e.Exited() || e.ExitCode() == panicExitStatus)
}

// runKeeper runs this program a second time as the agent, and restarts it when it crashes.
func runKeeper(ctx context.Context, o options) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	// A name of its own tells it from the agent, in ps and for pkill -x.
	_ = os.WriteFile("/proc/self/comm", []byte("vxland-keeper"), 0)
	log := newLog(slog.LevelInfo)
	if err := leaveCgroups(); err != nil {
		log.Warn("the agent is not independent of who started the container", "err", err)
	}
	raiseLimits()
	runAgent := func(ctx context.Context) error { return runAgentProcess(ctx, path, o.agentArgs()) }
	err = keeper{log: log, agentNeeded: o.isAgentNeeded, runAgent: runAgent}.keepRunning(ctx)
	if ctx.Err() != nil {
		return nil // exec reports the end of ctx as an error of the agent
	}
	return err
}

// isAgentNeeded tells whether the host has a network, or is to talk to others also without one.
func (o options) isAgentNeeded() bool {
	c, err := config.FilesAt(o.config).LoadSettings()
	return hasNetworks() || err == nil && c.KeepRunning
}

// hasNetworks tells whether the store has networks. A store that cannot be read may have some.
func hasNetworks() bool {
	networks, err := os.ReadDir(filepath.Join(store.Dir, "networks"))
	return err != nil || len(networks) > 0
}

// runAgentProcess runs the agent as a process, which goes on if the keeper is killed.
func runAgentProcess(ctx context.Context, path string, args []string) error {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second // then it is killed
	return cmd.Run()
}
