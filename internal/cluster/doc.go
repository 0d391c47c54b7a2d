// Package cluster has the types with which hosts tell each other about their networks and
// containers, and the interface of a control plane, which exchanges them.
//
// Package gossip is one control plane. Others (etcd, BGP EVPN) can be added as packages with the
// same interface. This package does no I/O.
package cluster
