// Package netstack is a network namespace as the driver uses it: the packages below it behind one
// type, with the kernel parameters below /proc/sys/net.
package netstack
