// Package addrclaim picks the addresses of containers where the hosts agree on them.
//
// It picks an address that it does not know to be in use, and asks the control plane for it
// (cluster.Claimer). At the same time it probes the overlay for hosts without an agent. If somebody
// has the address, it picks another. How hosts come to agree is the plane's business.
package addrclaim
