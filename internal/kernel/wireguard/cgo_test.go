//go:build cgo

package wireguard_test

// A program that is linked with C, as with the race detector, cannot give up rights.
const linkedWithC = true
