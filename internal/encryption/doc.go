// Package encryption keeps the keys and WireGuard peers of encrypted networks.
//
// Each host makes its own key pair for each encrypted network, and a new one of the next generation
// each time that the network's keys rotate. A generation has a WireGuard device of its own, so that
// hosts can take packets of two generations while they change over: nothing is lost then.
//
// What to do next is decided by pure functions (rotation.go, peers.go), from what this host has and
// the others say. Manager carries it out.
package encryption
