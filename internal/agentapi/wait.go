package agentapi

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Goal is what somebody waits for.
type Goal string

// The goals.
const (
	// GoalReady: the agent has set up this host, and knows what the other hosts have.
	GoalReady Goal = "ready"
	// GoalHost: the agent of another host answers.
	GoalHost Goal = "host"
	// GoalNetwork: a network has a container on this host and is set up, with what is known of its
	// other hosts.
	GoalNetwork Goal = "network"
	// GoalNames: a container's name resolves on this host.
	GoalNames Goal = "names"
)

// WaitRequest says what somebody waits for, and for how long at most.
type WaitRequest struct {
	For     Goal          `json:"for"`
	Name    string        `json:"name,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"` // at most MaxWait
}

const (
	// MaxWait is how long one request may wait.
	MaxWait = 30 * time.Second
	// agentPollInterval is how often an agent is looked for that does not run.
	agentPollInterval = 200 * time.Millisecond
	// answerMargin is how much longer than it waits an answer may take.
	answerMargin = 5 * time.Second
)

// Wait waits for something on the agent at path, until ctx is done. Then it returns what is missing.
// The agent need not run yet.
func Wait(ctx context.Context, path string, r WaitRequest) (missing string, err error) {
	missing = ErrNotRunning.Error()
	for ctx.Err() == nil {
		r.Timeout = MaxWait
		if deadline, ok := ctx.Deadline(); ok {
			r.Timeout = min(r.Timeout, time.Until(deadline))
		}
		response, err := Call(path, Request{Verb: VerbWait, Wait: &r}, time.Now().Add(r.Timeout+answerMargin))
		switch {
		case err == nil && response.Missing == "":
			return "", nil
		case err == nil:
			missing = response.Missing
		case errors.Is(err, ErrNotRunning):
			missing = ErrNotRunning.Error()
			select {
			case <-time.After(agentPollInterval):
			case <-ctx.Done():
			}
		default:
			return "", fmt.Errorf("wait: %w", err)
		}
	}
	return missing, nil
}
