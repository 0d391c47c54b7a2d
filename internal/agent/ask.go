package agent

import (
	"context"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/hoststate"
)

// sync does for a container that was set up what its plugin waits for, and for all else a turn.
func (a *Agent) sync(ctx context.Context, r agentapi.Request) agentapi.Response {
	if r.Container == "" {
		return response(a.syncFor(ctx, r.Network, ""))
	}
	var answer agentapi.Response
	if a.arrive(claimant{r.Network, r.Container}) {
		a.hurry()
	} else {
		answer = response(a.syncFor(ctx, r.Network, r.Container))
	}
	answer.Announces = answer.Error == "" && a.arrivals.announces()
	return answer
}

// hurry has a turn come soon, for what is in the store by now.
func (a *Agent) hurry() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// answer tells whoever waits how it went. A container that was set up is to announce its addresses after that; twice,
// if it hears of an error and sees to it itself.
func (a *Agent) answer(waiting asked, err error) {
	if waiting.done == nil {
		return
	}
	waiting.done <- err
	if waiting.who.container != "" {
		a.arrivals.welcome(waiting.who)
	}
}

// asked is a question of somebody who waits.
type asked struct {
	who  claimant // a container that was set up, or zero
	done chan error
}

// syncNow has a turn begin after the request came, for a container that was set up one of scope named, and answers at its end.
func (a *Agent) syncNow(ctx context.Context, who claimant) error {
	done := make(chan error, 1)
	select {
	case a.requests <- asked{who, done}:
	case <-ctx.Done():
		return errEnding
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errEnding
	}
}

// syncFor is syncNow for whom other networks' trouble does not concern.
func (a *Agent) syncFor(ctx context.Context, networkID, containerID string) error {
	err := a.syncNow(ctx, claimant{networkID, containerID})
	if networkID == "" {
		return err
	}
	return hoststate.FilterByNetwork(networkID, err)
}

func response(err error) agentapi.Response {
	if err == nil {
		return agentapi.Response{}
	}
	return agentapi.Response{Error: err.Error()}
}
