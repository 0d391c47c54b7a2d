// Package wggo is a process of wireguard-go: it encrypts the packets of one device, where the kernel has no
// WireGuard.
package wggo
