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

	"vxlan-driver/internal/store"
)

// keeper is what systemd would be, where it does not run: it starts the agent, and starts
// it again when it dies. Nobody else would before the next container starts, and until
// then containers would find no names.
type keeper struct {
	// worker runs the agent to its end.
	worker func(context.Context) error
	// needed tells whether the host has a network that wants an agent.
	needed func() bool
	log    *slog.Logger
}

const (
	// settled is after how long an agent that ends with an error has had its start: one that
	// cannot start, as its configuration is wrong or another has the lock, is not tried again. Whoever
	// wanted it is told.
	settled = handOver + 500*time.Millisecond
	// An agent that dies is started anew at once. One that dies again within steady
	// waits, so that what it says of it does not fill /run, which is memory.
	steady    = 10 * time.Second
	firstWait = time.Second
	lastWait  = time.Minute
)

// run keeps the agent until that ends by itself or ctx is done.
func (k keeper) run(ctx context.Context) error {
	var wait time.Duration
	for {
		began := time.Now()
		err := k.worker(ctx)
		lived := time.Since(began)
		if err == nil || ctx.Err() != nil || lived < settled && !died(err) {
			return err
		}
		if lived > steady {
			wait = 0
		}
		k.log.Error("vxland died; starting it again", "err", err, "after", wait)
		if !k.pause(ctx, wait) {
			return nil
		}
		wait = min(max(2*wait, firstWait), lastWait)
	}
}

// pause waits, and tells whether an agent is wanted still.
func (k keeper) pause(ctx context.Context, wait time.Duration) bool {
	for until := time.Now().Add(wait); k.needed(); {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(min(time.Until(until), firstWait)):
		}
		if !time.Now().Before(until) {
			return true
		}
	}
	return false
}

// panicked is how the Go runtime ends a program that panics.
const panicked = 2

// died tells whether a process did not end by its own will.
func died(err error) bool {
	e, ok := errors.AsType[*exec.ExitError](err)
	return ok && (!e.Exited() || e.ExitCode() == panicked)
}

// keep is this program as a keeper of itself.
func keep(ctx context.Context, args ...string) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	// So that a person, and pkill -x, can tell them apart.
	_ = os.WriteFile("/proc/self/comm", []byte("vxland-keeper"), 0)
	err = keeper{log: newLog(slog.LevelInfo), needed: hasNetworks, worker: func(ctx context.Context) error { return work(ctx, path, args) }}.run(ctx)
	if ctx.Err() != nil {
		return nil // it was told to end, which exec reports as an error of the agent's
	}
	return err
}

// hasNetworks tells whether something is in the store, or may be.
func hasNetworks() bool {
	networks, err := os.ReadDir(filepath.Join(store.Dir, "networks"))
	return err != nil || len(networks) > 0
}

// work runs the agent as a process. If the keeper is killed it goes on.
func work(ctx context.Context, path string, args []string) error {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second // then it is killed
	return cmd.Run()
}
