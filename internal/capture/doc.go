// Package capture records a network's packets, inside and outside of its tunnel, with tcpdump.
package capture
