// Package record is how hosts write into etcd what they have: keys, and values as JSON.
//
// All keys are below a prefix and the version of the format:
//
//	presence/HOST                             the host is there; the key ends with its lease
//	hosts/HOST/networks/NETWORK               the host has keys of this network
//	networks/NETWORK/hosts/HOST               the host's part in the network
//	networks/NETWORK/hosts/HOST/CONTAINER     a container of the host, or a claim of its addresses
//	networks/NETWORK/addresses/ADDRESS        whose address that is
//	definitions/NAME                          what the hosts of a network share
//	definitions/NAME/hosts/HOST               the host has created the network
//	vnis/NETWORK                              which network has the VNI
//
// HOST is a host's ID. NETWORK is VNI-PORT, such as 42-4789. This package does no I/O.
package record
