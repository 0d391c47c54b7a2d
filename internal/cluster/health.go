package cluster

import (
	"net/netip"
	"time"
)

// Health is how far a plane knows what the other hosts have.
type Health struct {
	// Synced tells that it is known what the other hosts have, or that there is nobody to ask.
	Synced bool
	// Alone tells that there are hosts to ask, and none of them has answered.
	Alone bool
	// StaleSince is when the last contact to any other host was lost. Zero: there is contact, or
	// there has never been any.
	StaleSince time.Time // by package boottime
	// Revision is up to which change of its servers this host knows what the others have. 0: the plane has no
	// servers that count them, or none has answered.
	Revision int64
	// RevisionsBehind is how many more changes the servers had when one answered last.
	RevisionsBehind int64
	// Problem is a sentence for people: what keeps this host and others apart, and what to do.
	Problem string
	// Warnings are sentences for people: what else is wrong, and what to do.
	Warnings []string
	// Refused is what this host refused of others, or others of it, sorted by reason.
	Refused []Refusal
}

// Refusal is what was refused for one reason.
type Refusal struct {
	Reason string // as the log and the status say it
	Count  uint64
	// ByOther tells that another host refuses this one, or does not answer it.
	ByOther bool
	// Silent tells that it does not answer. Mostly it has no container yet, and so no agent.
	Silent bool
	Hosts  []RefusedHost // sorted; not all, and none where the sender is not known
}

// RefusedHost is a host that was refused, or refuses. Its address may be forged.
type RefusedHost struct {
	Addr        netip.Addr
	Count       uint64
	First, Last time.Time // by package boottime
}
