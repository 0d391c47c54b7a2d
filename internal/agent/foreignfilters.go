package agent

import (
	"log/slog"
	"time"

	"vxlan-driver/internal/hoststate"
)

const (
	// filterDelay is how long after a change of other programs' rules they are looked at. Some
	// write their rules anew every few seconds, one command a rule.
	filterDelay = time.Second
	// filterLoad bounds the time that looks take where there are very many rules, one part in so
	// many.
	filterLoad = 100
)

// filterWatch finds what other programs' firewalls drop of the networks, and logs it once.
type filterWatch struct {
	host      *hoststate.Host
	agentPort uint16
	log       *slog.Logger

	networks []hoststate.Network // as of the last turn
	due      <-chan time.Time    // when the rules are looked at; nil: nothing has happened
	took     time.Duration       // the last look
	found    []string            // by the last look
	failed   error               // of the last look, as logged
	logged   recurring
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
		w.due = time.After(max(filterDelay, filterLoad*w.took))
	}
}

// Pending tells whether a check is due.
func (w *filterWatch) Pending() bool { return w.due != nil }

// Check returns what is dropped.
func (w *filterWatch) Check() (found []string) {
	began := time.Now()
	chains, err := w.host.BlockingChains(w.networks, w.agentPort)
	w.due, w.took = nil, time.Since(began)
	if err != nil {
		if w.failed == nil {
			w.log.Warn("cannot look at other programs' firewall rules", "err", err)
		}
		w.failed = err
		return w.found
	}
	w.failed = nil
	for _, o := range chains {
		found = append(found, o.String())
	}
	appeared, gone := w.logged.Update(found)
	for _, text := range appeared {
		w.log.Warn("another program's firewall drops packets", "what", text)
	}
	for _, text := range gone {
		w.log.Info("another program's firewall no longer drops packets", "what", text)
	}
	w.found = found
	return found
}
