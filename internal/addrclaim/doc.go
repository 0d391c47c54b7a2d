// Package addrclaim lets hosts agree on who may use which address of a network, without a
// server that decides.
//
// A host that picks an address for a container claims it first: it publishes an endpoint that
// has nothing but the address, waits for as long as others may object, and then looks whether
// another host has the address or a better claim. An address that is in use, or claimed and
// known to be, is never contested; of two claims that crossed, the lower VTEP's wins.
package addrclaim
