// Package membership computes what follows for this host from what the other hosts said.
//
// From the snapshot of a control plane and this host's networks it derives each network's
// peers (whom to flood to, whether the FDB is static), the forwarding entries, the DNS zones,
// the memberships that this host publishes, and the addresses that two containers have.
//
// It is pure: time comes in as facts, such as "the grace period is over".
package membership
