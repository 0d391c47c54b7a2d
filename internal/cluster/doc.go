// Package cluster defines what hosts tell each other about their networks and containers.
//
// A control plane carries it: Plane is its interface, which packages gossip and etcd fill. Others (BGP EVPN)
// can be added as packages beside them. docs/design/control-planes.md
// says what each of them promises. This package does no I/O.
package cluster
