// Package firewalld has firewalld trust a network's bridge.
//
// firewalld rejects what its zones do not allow in a table of its own, which an
// accept in another table does not change. A host without it is left alone.
package firewalld
