// Package addrclaim lets hosts agree on who may use which address of a network, without a server
// that decides.
//
// A host that picks an address for a container claims it first. It publishes an endpoint that has
// nothing but the address, and waits while others may object. Then it checks whether another host
// has the address, or a better claim to it. An address that is in use, or known to be claimed, is
// never contested. Of two claims that crossed, the lower VTEP's wins.
package addrclaim
