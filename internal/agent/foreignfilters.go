package agent

import (
	"log/slog"
	"time"

	"vxlan-driver/internal/hoststate"
)

// filterDelay is how long after a change of other programs' rules they are looked at. Some write
// their rules anew every few seconds, one command a rule.
const filterDelay = time.Second

// filterWatch finds what other programs' firewalls drop of the networks, and logs it once.
type filterWatch struct {
	host      *hoststate.Host
	agentPort uint16
	log       *slog.Logger

	networks []hoststate.Network // as of the last turn
	due      <-chan time.Time    // when the rules are looked at; nil: nothing has happened
	found    []string            // as logged
}

// Follow takes over the networks of a turn. A turn in which a container came or went may change
// what must pass; one for names alone is followed by another.
func (w *filterWatch) Follow(networks []hoststate.Network, what scope) {
	w.networks = networks
	if what >= scopePublish {
		w.CheckSoon()
	}
}

// CheckSoon makes a check due.
func (w *filterWatch) CheckSoon() {
	if w.due == nil {
		w.due = time.After(filterDelay)
	}
}

// Pending tells whether a check is due.
func (w *filterWatch) Pending() bool { return w.due != nil }

// Check returns what is dropped.
func (w *filterWatch) Check() (found []string) {
	w.due = nil
	chains, err := w.host.BlockingChains(w.networks, w.agentPort)
	if err != nil {
		w.log.Warn("cannot look at other programs' firewall rules", "err", err)
		return w.found
	}
	for _, o := range chains {
		found = append(found, o.String())
	}
	for _, text := range newIn(found, w.found) {
		w.log.Warn("another program's firewall drops packets", "what", text)
	}
	for _, text := range newIn(w.found, found) {
		w.log.Info("another program's firewall no longer drops packets", "what", text)
	}
	w.found = found
	return found
}
