package main

import (
	"context"
	"errors"
	"testing"

	"vxlan-driver/internal/agent"
)

// An agent that is told to end while it starts anew ends.
func TestSignalEndsAnAgentThatRestarts(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tt := range []struct {
		ctx  context.Context
		err  error
		want bool
	}{
		{t.Context(), agent.ErrRestart, true},
		{t.Context(), agent.ErrFilesLost, true},
		{t.Context(), errors.New("accept: no"), false},
		{t.Context(), nil, false},
		{ended, agent.ErrRestart, false},
		{ended, agent.ErrFilesLost, false},
	} {
		if got := shouldRestart(tt.ctx, tt.err); got != tt.want {
			t.Errorf("%v, after a signal: %v: starts anew: %v", tt.err, tt.ctx.Err() != nil, got)
		}
	}
}
