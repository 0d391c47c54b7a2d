// Package netstack is a network namespace as the driver uses it: rtnetlink, and
// the kernel parameters below /proc/sys/net.
package netstack
