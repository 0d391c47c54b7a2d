// Package replica is a host's copy of all hosts' records, and the rules by which hosts bring their
// copies into agreement (anti-entropy).
//
// It has no lock and no clock, and does no I/O: its caller says what time it is, and sends what it
// hands to the Network.
package replica
