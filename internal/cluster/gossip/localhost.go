package gossip

import (
	"fmt"
	"log/slog"
	"net/netip"
	"sync"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/guard"
)

// LocalHost is this host, which all planes of its agent share.
type LocalHost struct {
	ID cluster.HostID
	// RenewID makes the host's agent start anew with another ID. It is called once, when a host is
	// found that has the same, and returns an error if there is no other one. Nil: there is none.
	RenewID func() error
	renew   sync.Once
	// renewErr is why there is no other ID.
	renewErr error
	// PortProbes are what hosts send that are about to join.
	PortProbes guard.PortProbes

	mu      sync.Mutex
	name    string
	talksBy map[netip.AddrPort]bool // addresses of planes; false: of those that have ended
	changed chan struct{}           // closed when a plane ends
}

// NewLocalHost returns a host that has an ID, and a name for people.
func NewLocalHost(id cluster.HostID, name string) *LocalHost {
	return &LocalHost{ID: id, name: name, talksBy: make(map[netip.AddrPort]bool), changed: make(chan struct{})}
}

// Name returns the host's name.
func (h *LocalHost) Name() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.name
}

// SetName changes the host's name, and tells whether it is another one. Each plane publishes it
// with its next Set.
func (h *LocalHost) SetName(name string) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed, h.name = h.name != name, name
	return changed
}

// renewID gives this host another ID, since a host has it that keeps it.
func (h *LocalHost) renewID(keeper string, log *slog.Logger) {
	if h.RenewID == nil {
		return
	}
	h.renew.Do(func() {
		if err := h.RenewID(); err != nil {
			log.Error("cannot give this host an ID of its own", "err", err)
			h.mu.Lock()
			defer h.mu.Unlock()
			h.renewErr = err
			return
		}
		log.Warn("this host gives itself a new ID, and its agent starts anew", "keeps the old one", keeper)
	})
}

// renewalProblem says for a person why this host has no other ID, "" if it has or needs none.
func (h *LocalHost) renewalProblem() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.renewErr == nil {
		return ""
	}
	return fmt.Sprintf("this host cannot keep another ID (%v), ", h.renewErr)
}

// beginsToTalk notes that a plane talks by an address.
func (h *LocalHost) beginsToTalk(addr netip.AddrPort) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.talksBy[addr] = true
}

// endsToTalk notes that it no longer does.
func (h *LocalHost) endsToTalk(addr netip.AddrPort) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.talksBy[addr] {
		h.talksBy[addr] = false
		close(h.changed)
		h.changed = make(chan struct{})
	}
}

// planeEnded returns a channel that is closed when a plane ends.
func (h *LocalHost) planeEnded() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

// knowsAddr tells whether a plane of this host talks by an address, and whether one once did.
func (h *LocalHost) knowsAddr(addr netip.AddrPort) (talks, once bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	talks, once = h.talksBy[addr]
	return talks, once
}
