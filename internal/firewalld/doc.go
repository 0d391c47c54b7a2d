// Package firewalld makes firewalld trust a network's bridge.
//
// It also tells when firewalld has forgotten that, as after a reload.
//
// firewalld rejects what its zones do not allow in a table of its own; an accept in another table
// does not change that. A host without firewalld is left alone.
//
// It has its own client of the system bus, for calls with strings only: a D-Bus library costs the
// plugin a seventh of its size.
package firewalld
