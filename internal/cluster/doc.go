// Package cluster is the vocabulary by which hosts tell each other which
// networks and containers they have.
//
// A control plane is a Source: it is told what this host has and tells what the
// others have. Package gossip is one; what else may come (etcd, BGP EVPN) is
// another package with the same interface, and nobody else changes. The package
// does no I/O.
package cluster
