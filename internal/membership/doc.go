// Package membership computes what follows for this host from what the other hosts said.
//
// Its input is the snapshot of a control plane and this host's networks. From that it derives each
// network's peers (whom to flood to, whether the FDB is static), the forwarding entries and the DNS
// zones. It also derives the memberships that this host publishes, and finds addresses that two
// containers have.
//
// It is pure: time comes in as facts, such as "the grace period is over".
package membership
