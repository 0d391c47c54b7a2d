// Package network parses the networks, VTEPs and endpoints that Podman and netavark describe, and
// refuses those that cannot work.
//
// Raw strings stay inside: what leaves this package holds parsed values and is valid. The package
// is pure; what it needs to know of the host comes in through InterfaceLookup.
package network
