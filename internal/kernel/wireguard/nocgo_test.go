//go:build !cgo

package wireguard_test

const linkedWithC = false
