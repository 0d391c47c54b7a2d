// Package fakekernel is a network stack in memory, for tests.
//
// It knows the links, addresses, routes and FDB entries of a few namespaces and
// refuses what the kernel would refuse, logs every change as the command that
// does the same, and can be told to fail at the nth call.
package fakekernel
