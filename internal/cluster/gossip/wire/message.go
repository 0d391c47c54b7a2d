package wire

import (
	"errors"
	"net/netip"
)

// ProtocolVersion is the first byte of every message, and memberlist's delegate version. A change
// that an older agent would misread raises it.
const ProtocolVersion = 1

// Errors that Decode returns.
var (
	ErrVersion   = errors.New("another protocol version")
	ErrMalformed = errors.New("malformed message")
)

// Limits on messages. A record of a host with 1,000 containers has 120 kB.
const (
	MaxRecord  = 512 << 10 // bytes
	MaxMessage = 1 << 20   // bytes
	MaxHosts   = 4096      // in one list; memberlist itself reaches its limits there
)

// Kind says what a message is for. It is the second byte of a message.
type Kind byte

// The kinds of messages, and the fields of a Message that they have.
const (
	KindDigests    Kind = 1 + iota // Complete, Digests
	KindRequest                    // Hosts
	KindRecords                    // Records
	KindDelta                      // Delta
	KindSummary                    // Hash
	KindAckRequest                 // Version: of the sender's own record
	KindAck                        // Version: of the receiver's record
)

// Message is a message of any kind. Kind says which of the last fields it has.
type Message struct {
	Kind Kind
	From string         // the host that sent it; it may pass on what it has of others
	Addr netip.AddrPort // where the sender listens

	Complete bool         // Digests are all that the sender has, so the answer is what is newer
	Digests  []Digest     // what the sender has
	Hosts    []string     // whose records the sender asks for
	Records  []AgedRecord // whole records
	Delta    Delta        // a change of the sender's own record
	Hash     uint64       // of all digests that the sender has, see HashDigests
	// Version is what a host is asked to follow, or says that it follows: its kernel holds what the
	// record asks for.
	Version Version
}
