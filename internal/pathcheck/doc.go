// Package pathcheck tries the ways between two hosts, one of which is about to join the other's
// cluster: the agents' port, and the tunnel with small and with full packets.
package pathcheck
