package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os/exec"
	"reflect"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// shellExit returns how a shell exits that runs the script.
func shellExit(t *testing.T, script string) error {
	t.Helper()
	return exec.Command("sh", "-c", script).Run()
}

func alwaysNeeded() bool { return true }

// The keeper ends with the host's last container, even while it waits to restart the agent.
func TestKeeperEndsWhenAgentIsNotNeeded(t *testing.T) {
	killed := shellExit(t, "kill -9 $$")
	synctest.Test(t, func(t *testing.T) {
		begin, starts := time.Now(), 0
		k := keeper{
			log: slog.New(slog.DiscardHandler), agentNeeded: func() bool { return time.Since(begin) < 10*time.Second },
			runAgent: func(context.Context) error { starts++; return killed },
		}
		if err := k.keepRunning(t.Context()); err != nil || starts != 5 || time.Since(begin) != 10*time.Second {
			t.Errorf("%d starts in %v, %v", starts, time.Since(begin), err)
		}
	})
}

func TestKeeperRestartsAgent(t *testing.T) {
	killed, panicked, failed := shellExit(t, "kill -9 $$"), shellExit(t, "exit 2"), shellExit(t, "exit 1")
	noProcess := &fs.PathError{Op: "fork/exec", Path: "/vxland", Err: syscall.EAGAIN} // the limit of processes is reached
	type agentRun struct {
		uptime time.Duration
		err    error
	}
	const s, ms = time.Second, time.Millisecond
	tests := []struct {
		name   string
		runs   []agentRun // of the agent; after the last it runs on
		starts []time.Duration
		err    error
		ends   bool
	}{
		{"agent exits without error", []agentRun{{time.Hour, nil}}, []time.Duration{0}, nil, true},
		{"agent cannot start", []agentRun{{1600 * ms, failed}}, []time.Duration{0}, failed, true},
		{"agent fails after its start", []agentRun{{time.Hour, failed}}, []time.Duration{0, time.Hour}, nil, false},
		{"agent is killed", []agentRun{{ms, killed}}, []time.Duration{0, ms}, nil, false},
		{"agent panics", []agentRun{{time.Hour, panicked}}, []time.Duration{0, time.Hour}, nil, false},
		{
			"no process can be made", []agentRun{{0, noProcess}, {0, noProcess}, {time.Hour, nil}}, []time.Duration{0, 0, s}, nil, true,
		},
		{"the program is gone", []agentRun{{time.Hour, killed}, {0, fs.ErrNotExist}}, []time.Duration{0, time.Hour}, fs.ErrNotExist, true},
		{
			"agent is killed again and again", []agentRun{{ms, killed}, {ms, killed}, {ms, killed}, {ms, killed}},
			[]time.Duration{0, ms, 2*ms + s, 3*ms + 3*s, 4*ms + 7*s}, nil, false,
		},
		{
			"agent is killed once in a while", []agentRun{{s, killed}, {time.Minute, killed}, {time.Minute, killed}},
			[]time.Duration{0, s, s + time.Minute, s + 2*time.Minute}, nil, false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var starts []time.Duration
				ctx, stop := context.WithCancel(t.Context())
				k := keeper{log: slog.New(slog.DiscardHandler), agentNeeded: alwaysNeeded, runAgent: func(ctx context.Context) error {
					starts = append(starts, time.Since(begin))
					if n := len(starts); n <= len(tt.runs) {
						time.Sleep(tt.runs[n-1].uptime)
						return tt.runs[n-1].err
					}
					<-ctx.Done()
					return nil
				}}
				ended := make(chan error, 1)
				go func() { ended <- k.keepRunning(ctx) }()
				time.Sleep(24 * time.Hour)
				if got := len(ended) > 0; got != tt.ends {
					t.Errorf("has ended: %v", got)
				}
				stop()
				if err := <-ended; !errors.Is(err, tt.err) {
					t.Errorf("got %v", err)
				}
				if !reflect.DeepEqual(starts, tt.starts) {
					t.Errorf("started at %v, want %v", starts, tt.starts)
				}
			})
		})
	}
}

// An agent that crashes again and again must not fill the log.
func TestKeeperRestartDelayGrows(t *testing.T) {
	killed := shellExit(t, "kill -9 $$")
	synctest.Test(t, func(t *testing.T) {
		starts := 0
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		k := keeper{log: slog.New(slog.DiscardHandler), agentNeeded: alwaysNeeded, runAgent: func(context.Context) error { starts++; return killed }}
		if err := k.keepRunning(ctx); err != nil {
			t.Error(err)
		}
		if starts < 60 || starts > 70 {
			t.Errorf("%d starts in an hour", starts)
		}
	})
}
