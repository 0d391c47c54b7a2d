// Package wire is the format of the messages that hosts gossip: what they say, their limits, their
// encoding. It does no I/O. docs/design/gossip-format.md specifies it.
//
// The encoding is written by hand, for two reasons. A container takes about 120 bytes, half of what
// JSON needs, so that a delta fits a packet. And what a later version adds is skipped by rules that
// are part of the format. Numbers are varints (encoding/binary); strings and lists are preceded by
// their length.
package wire
