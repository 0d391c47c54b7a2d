// Package wgtest has WireGuard devices in memory, for tests.
package wgtest
