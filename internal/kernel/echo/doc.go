// Package echo asks for ICMP echoes from inside a network namespace.
package echo
