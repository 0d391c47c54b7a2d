// Package fakekernel is a network stack in memory, for tests.
//
// It knows the links, addresses, routes and FDB entries of a few namespaces, and refuses what the
// kernel would refuse. It logs every change as the command that does the same. A test can make it
// fail at the nth call.
package fakekernel
