// Package gossip lets hosts find each other and share their records, without a server. It is a
// cluster.Plane over hashicorp/memberlist, which implements SWIM.
//
// Each host owns one record: its memberships, with a version that only it raises. A change goes
// straight to all members, as a delta that mostly fits one packet. All else is anti-entropy, which
// repairs what was lost. Digests (host and version, no content) are passed on to a few members, and
// travel in memberlist's push-pull. Each second a host compares a hash of its digests with a random
// member's. Whoever sees a newer digest requests the record from the digest's sender, over a stream
// if it is long.
//
// Time is only measured, never compared between hosts: versions are counters, and ages are
// durations. So a clock that jumps changes nothing.
//
// Where to read: plane.go is what the agent calls, delegate.go what memberlist calls. round.go asks
// all seeds, rejoin.go goes on with hosts that should be members and are not, and spread.go passes
// on who came and went. claim.go settles who may use an address. transport.go has the sockets.
// Package replica holds the records and handles messages, wire has their format, and guard protects
// memberlist.
package gossip
