// Package conntrack makes connection tracking forget flows.
//
// The kernel finds a flow's translation when it sees the first packet, and keeps it as long as
// packets come. A client of UDP that never changes its port would so be led to a container's former
// address, or to the host itself if it was there before the port was published. TCP has no such
// trouble, since a new connection is a new flow.
package conntrack
