package main

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// exit is how a shell that runs the command ends.
func exit(t *testing.T, script string) error {
	t.Helper()
	return exec.Command("sh", "-c", script).Run()
}

func wanted() bool { return true }

// With the host's last container it goes, also while it waits.
func TestKeeperEndsWhereNobodyNeedsAnAgent(t *testing.T) {
	killed := exit(t, "kill -9 $$")
	synctest.Test(t, func(t *testing.T) {
		began, starts := time.Now(), 0
		k := keeper{
			log: slog.New(slog.DiscardHandler), needed: func() bool { return time.Since(began) < 10*time.Second },
			worker: func(context.Context) error { starts++; return killed },
		}
		if err := k.run(t.Context()); err != nil || starts != 5 || time.Since(began) != 10*time.Second {
			t.Errorf("%d starts in %v, %v", starts, time.Since(began), err)
		}
	})
}

func TestKeeper(t *testing.T) {
	killed, panicked, failed := exit(t, "kill -9 $$"), exit(t, "exit 2"), exit(t, "exit 1")
	type life struct {
		lived time.Duration
		err   error
	}
	const s, ms = time.Second, time.Millisecond
	tests := []struct {
		name   string
		lives  []life // of the agent; after the last it runs on
		starts []time.Duration
		err    error
		ends   bool
	}{
		{"agent that has nothing to do any more", []life{{time.Hour, nil}}, []time.Duration{0}, nil, true},
		{"agent that cannot start", []life{{1600 * ms, failed}}, []time.Duration{0}, failed, true},
		{"agent that fails later", []life{{time.Hour, failed}}, []time.Duration{0, time.Hour}, nil, false},
		{"killed", []life{{ms, killed}}, []time.Duration{0, ms}, nil, false},
		{"panics", []life{{time.Hour, panicked}}, []time.Duration{0, time.Hour}, nil, false},
		{
			"killed again and again", []life{{ms, killed}, {ms, killed}, {ms, killed}, {ms, killed}},
			[]time.Duration{0, ms, 2*ms + s, 3*ms + 3*s, 4*ms + 7*s}, nil, false,
		},
		{
			"killed once in a while", []life{{s, killed}, {time.Minute, killed}, {time.Minute, killed}},
			[]time.Duration{0, s, s + time.Minute, s + 2*time.Minute}, nil, false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var starts []time.Duration
				ctx, stop := context.WithCancel(t.Context())
				k := keeper{log: slog.New(slog.DiscardHandler), needed: wanted, worker: func(ctx context.Context) error {
					starts = append(starts, time.Since(began))
					if n := len(starts); n <= len(tt.lives) {
						time.Sleep(tt.lives[n-1].lived)
						return tt.lives[n-1].err
					}
					<-ctx.Done()
					return nil
				}}
				ended := make(chan error, 1)
				go func() { ended <- k.run(ctx) }()
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

// An agent that always dies does not fill the log.
func TestKeeperWaitsLongerAndLonger(t *testing.T) {
	killed := exit(t, "kill -9 $$")
	synctest.Test(t, func(t *testing.T) {
		starts := 0
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		k := keeper{log: slog.New(slog.DiscardHandler), needed: wanted, worker: func(context.Context) error { starts++; return killed }}
		if err := k.run(ctx); err != nil {
			t.Error(err)
		}
		if starts < 60 || starts > 70 {
			t.Errorf("%d starts in an hour", starts)
		}
	})
}
