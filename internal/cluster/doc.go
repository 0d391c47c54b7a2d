// Package cluster defines what hosts tell each other about their networks and containers.
//
// A control plane carries it: Plane is its interface, and package gossip is the one there is. Others
// (etcd, BGP EVPN) can be added as packages that fill the interface. docs/design/control-planes.md
// says what each of them promises. This package does no I/O.
package cluster
