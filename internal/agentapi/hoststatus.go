package agentapi

import (
	"net/netip"
	"time"
)

// HostIdentity says which host something is of.
type HostIdentity struct {
	Name  string       `json:"name"`
	ID    string       `json:"id"`
	Addrs []netip.Addr `json:"addrs,omitempty"` // by which its agent talks to others
}

// HostStatus is a host as this one sees it.
type HostStatus struct {
	ID string `json:"id,omitempty"`
	// SharesID tells that another agent has the same ID, as after a machine was copied.
	SharesID bool `json:"shares_id,omitempty"`
	// Self tells that it is this host.
	Self      bool       `json:"self,omitempty"`
	Name      string     `json:"name"`                // as a person knows it, with its address
	HostName  string     `json:"host_name,omitempty"` // without
	Addr      netip.Addr `json:"addr,omitzero"`       // where its agent listens, if that is known
	Reachable bool       `json:"reachable"`
	// CannotBeAsked tells that no control plane by which it is known carries questions.
	CannotBeAsked  bool          `json:"cannot_be_asked,omitempty"`
	UnreachableFor time.Duration `json:"unreachable_for,omitempty"`
	// ReachableFor is how long this agent has had contact to it. 0: it has none.
	ReachableFor time.Duration `json:"reachable_for,omitempty"`
	// RoundTrip is how long the agents' last message there took that was answered, with its answer.
	// 0: none was yet.
	RoundTrip    time.Duration `json:"round_trip,omitempty"`
	RoundTripAge time.Duration `json:"round_trip_age,omitempty"` // since then
	// Paths are the ways of containers' frames there, one for each network that both are on.
	Paths []PathStatus `json:"paths,omitempty"`
}

// Key is what no other agent is asked by.
func (h HostStatus) Key() string {
	if h.SharesID && h.Addr.IsValid() {
		return h.Addr.String()
	}
	return h.ID
}

// PathStatus is what probes show of the way to another host through a network's tunnel. Sizes are
// bytes as an MTU counts them.
type PathStatus struct {
	Network  string     `json:"network"`
	VTEP     netip.Addr `json:"vtep"`      // the other host's
	FullSize int        `json:"full_size"` // of the largest frames that containers send
	// MTU is the size of the largest frame that passes. 0: none does, or none was sent yet.
	MTU int `json:"mtu"`
	// Full counts frames of FullSize in the last ten minutes, and Small those that are sent where
	// none of these is answered. When it changes what passes, both begin anew.
	Full  FrameCount `json:"full"`
	Small FrameCount `json:"small"`
	// RoundTrip is how long the last frame took that was answered. 0: none was yet.
	RoundTrip time.Duration `json:"round_trip,omitempty"`
	Measured  time.Duration `json:"measured,omitempty"` // age of all these; 0: nothing was sent yet
	// Heard is how long ago a frame of the other host's came. 0: none ever did.
	Heard time.Duration `json:"heard,omitempty"`
	// Series is what became of frames that were sent one after the other, when somebody last looked
	// for a fault. Nil: nobody did, or there are too many hosts.
	Series *SeriesStatus `json:"series,omitempty"`
	// Programs is what eBPF programs have passed on to and from the other host. Nil: they pass nothing on.
	// The rest of what is sent there nobody counts by host.
	Programs *ProgramCounts `json:"programs,omitempty"`
}

// ProgramCounts counts packets of containers, since the other host has had any on the network.
type ProgramCounts struct {
	SentPackets     uint64 `json:"sent_packets"`
	SentBytes       uint64 `json:"sent_bytes"`
	ReceivedPackets uint64 `json:"received_packets"`
	ReceivedBytes   uint64 `json:"received_bytes"`
}

// SeriesStatus is what became of a series of frames of FullSize. Only if some were lost, small ones
// were sent too.
type SeriesStatus struct {
	Full  SeriesCount   `json:"full"`
	Small SeriesCount   `json:"small"`
	Age   time.Duration `json:"age"`
}

// SeriesCount counts frames. Those that were lost before the first answer, or after the last, are of
// neither direction.
type SeriesCount struct {
	Sent      int `json:"sent"`
	Answered  int `json:"answered"`
	LostThere int `json:"lost_there"` // on the way to the other host
	LostBack  int `json:"lost_back"`  // answers that did not come
}

// Lost is how many frames were not answered.
func (c SeriesCount) Lost() int { return c.Sent - c.Answered }

// FrameCount counts frames, and how many of them were answered.
type FrameCount struct {
	Sent     int `json:"sent"`
	Answered int `json:"answered"`
}

// Loss is the part of the frames that was lost, there or on the way back, from 0 to 1. It is of the
// small ones where large ones cannot pass. Known is false if none was sent lately.
func (p PathStatus) Loss() (part float64, known bool) {
	count := p.Full
	if p.Measured > 0 && p.MTU < p.FullSize {
		count = p.Small
	}
	if count.Sent == 0 {
		return 0, false
	}
	return float64(count.Sent-count.Answered) / float64(count.Sent), true
}
