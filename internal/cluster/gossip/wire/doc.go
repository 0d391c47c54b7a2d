// Package wire is the format of the messages that hosts gossip: what they say, their limits, their
// encoding. It does no I/O.
//
// The encoding is written by hand, for two reasons. A container takes about 120 bytes, half of what
// JSON needs, so that a delta fits a packet. And each value has exactly one encoding, so that equal
// content has equal checksums. Numbers are varints (encoding/binary); strings and lists are
// preceded by their length.
package wire
