package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/hoststate"
)

var (
	// ErrRestart says that the agent is to start anew, with the program and the configuration that
	// are installed by now. Nothing was withdrawn.
	ErrRestart = errors.New("vxland restarts")
	// ErrFilesLost says the same of an agent whose lock, socket or directory is gone. Another agent
	// may have taken its place.
	ErrFilesLost = errors.New("the files of vxland were removed or replaced")
)

// Process is the agent as others find it: by its program, its configuration, its lock and its
// socket.
type Process interface {
	// Lost tells whether lock or socket were removed or replaced.
	Lost() bool
	// ProgramReplaced tells whether the program's file is another one than when it started.
	ProgramReplaced() bool
	// ConfigChange says how the configuration differs from the one that the agent has, or "".
	ConfigChange() string
	// CheckRestart returns an error if the program that is installed by now would not start.
	CheckRestart() error
}

// outdated says why the agent should start anew.
func (a *Agent) outdated() (reasons []string) {
	if a.Process.ProgramReplaced() {
		reasons = append(reasons, "its program was replaced after it had started")
	}
	if change := a.Process.ConfigChange(); change != "" {
		reasons = append(reasons, change)
	}
	return reasons
}

// handleRestart makes the agent start anew if there is a reason. Then ctx ends, and nobody gets the
// response. New keys are no reason: they take effect at once. With a reason, only the key file counts
// that the new configuration names: the one from before may be gone with it.
func (a *Agent) handleRestart(ctx context.Context) agentapi.Response {
	reasons := a.outdated()
	if len(reasons) == 0 {
		if err := a.checkKeys(); err != nil {
			return errorResponse(err)
		}
		return agentapi.Response{}
	}
	if err := a.Process.CheckRestart(); err != nil {
		return errorResponse(fmt.Errorf("restart: %w", err))
	}
	a.Log.Info("asked to restart", "why", strings.Join(reasons, "; "))
	a.requests.TriggerRestart()
	<-ctx.Done()
	return errorResponse(context.Cause(ctx))
}

// checkRestart returns ErrRestart if the agent can start anew. One that cannot goes on.
func (a *Agent) checkRestart() error {
	if err := a.Process.CheckRestart(); err != nil {
		a.Log.Error("cannot restart; going on", "err", err)
		return nil
	}
	return ErrRestart
}

// checkFiles returns ErrFilesLost if the agent's files are gone.
func (a *Agent) checkFiles() error {
	if a.Process.Lost() {
		return ErrFilesLost
	}
	return nil
}

// rulesOwner tells whether the firewall's rules are this agent's. Versions have no order. So the
// rules belong to whoever was started last: an agent replaces what it finds when it starts. If
// another version of the driver replaces them after that, it is the newer one, or was installed
// again.
type rulesOwner struct {
	log      *slog.Logger
	tookOver bool // the tables were once this version's, or there were none
	aside    bool // the tables are another version's by now
	replaced bool // and so was the agent's program, when it last looked
}

// leavesRepair tells whether the agent leaves the repair of the host to another version. If its own
// program was replaced, it starts anew as that version.
func (a *Agent) leavesRepair(s *hoststate.Session) bool {
	other, err := s.OtherVersion()
	if err != nil {
		return a.rules.aside // a turn will meet the error
	}
	a.rules.update(other)
	if !a.rules.aside {
		return false
	}
	replaced := a.Process.ProgramReplaced()
	// A program that cannot start is tried again only now and then.
	if replaced && (!a.rules.replaced || a.checkDevices) {
		a.requests.TriggerRestart()
	}
	a.rules.replaced = replaced
	return true
}

// update takes what was found.
func (o *rulesOwner) update(other bool) {
	o.tookOver = o.tookOver || !other
	aside := other && o.tookOver
	switch {
	case aside && !o.aside:
		o.log.Warn("repairing nothing more, only answering names", "why", otherVersion)
	case !aside && o.aside:
		o.log.Info("repairing again: the firewall tables are of this version")
	}
	o.aside, o.replaced = aside, o.replaced && aside
}

const otherVersion = "the firewall tables are of another version of this driver; install vxlan, vxland and vxlanctl " +
	"of one version"

// Outdated says why the agent repairs nothing.
func (o *rulesOwner) Outdated() []string {
	if !o.aside {
		return nil
	}
	return []string{otherVersion}
}
