package agent

import (
	"log/slog"
	"slices"
	"time"

	"vxlan-driver/internal/hoststate"
)

// obstacleDelay is how long after a change of other programs' rules they are looked at. Some write
// their rules anew every few seconds, one command a rule.
const obstacleDelay = time.Second

// obstacleRest is how many times as long as a look took the next one is put off. Where there are
// thousands of rules, which kube-proxy and others change all the time, looks take a percent of a
// processor then. Who asks for the status does not wait for that.
const obstacleRest = 100

// obstacleWatch finds what other programs' firewalls drop of the networks, and logs it once.
type obstacleWatch struct {
	host      *hoststate.Host
	agentPort uint16
	log       *slog.Logger

	networks []hoststate.Network // as of the last turn
	due      <-chan time.Time    // when the rules are looked at; nil: nothing has happened
	found    []string            // as logged
	took     time.Duration       // the last look
}

// Follow takes over the networks of a turn. A turn in which a container came or went may change
// what must pass; one for names alone is followed by another.
func (w *obstacleWatch) Follow(networks []hoststate.Network, what scope) {
	w.networks = networks
	if what >= scopePublish {
		w.CheckSoon()
	}
}

// CheckSoon makes a check due.
func (w *obstacleWatch) CheckSoon() {
	if w.due == nil {
		w.due = time.After(max(obstacleDelay, obstacleRest*w.took))
	}
}

// Pending tells whether a check is due.
func (w *obstacleWatch) Pending() bool { return w.due != nil }

// Check returns what is dropped.
func (w *obstacleWatch) Check() (found []string) {
	w.due = nil
	start := time.Now()
	obstacles, err := w.host.Obstacles(w.networks, w.agentPort)
	w.took = time.Since(start)
	if err != nil {
		w.log.Warn("cannot look at other programs' firewall rules", "err", err)
		return w.found
	}
	for _, o := range obstacles {
		found = append(found, o.String())
	}
	for _, text := range found {
		if !slices.Contains(w.found, text) {
			w.log.Warn("another program's firewall drops packets", "what", text)
		}
	}
	for _, text := range w.found {
		if !slices.Contains(found, text) {
			w.log.Info("another program's firewall no longer drops packets", "what", text)
		}
	}
	w.found = found
	return found
}
