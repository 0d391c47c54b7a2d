// Package plan computes the kernel state that a network asks for on this host.
//
// It is pure: the same network, VTEP and endpoints give the same State, in the
// same order. It knows no kernel, clock, file or environment.
package plan
