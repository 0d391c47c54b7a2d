// Package wireguard keeps this host's WireGuard devices, of the kernel or by wireguard-go.
package wireguard
