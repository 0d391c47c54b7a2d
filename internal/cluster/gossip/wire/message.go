package wire

import (
	"errors"
	"fmt"
)

// Range is the formats of messages that a host accepts. A host declares its range to the others,
// and sends the latest format that all of them accept.
type Range struct{ Min, Max uint8 }

// Supported is what this version of the program accepts. A new format is needed only if an older
// host would misread the header of a message, or the fields that every message of a kind has. New
// kinds, sections and fields need none, as who does not know them skips them.
var Supported = Range{Min: 1, Max: 1}

// Contains tells whether a format is in the range.
func (v Range) Contains(format uint8) bool { return v.Min <= format && format <= v.Max }

// Overlaps tells whether two hosts have a format in common.
func (v Range) Overlaps(o Range) bool { return v.Min <= o.Max && o.Min <= v.Max }

// String prints the range as "1 to 2".
func (v Range) String() string { return fmt.Sprintf("%d to %d", v.Min, v.Max) }

// Encode returns the range as a host declares it.
func (v Range) Encode() []byte { return []byte{v.Min, v.Max} }

// DecodeRange reads what a host declares. A later version may append to it.
func DecodeRange(declared []byte) (Range, error) {
	if len(declared) < 2 || declared[0] == 0 || declared[0] > declared[1] {
		return Range{}, fmt.Errorf("%w: it declares no range of formats", ErrVersion)
	}
	return Range{Min: declared[0], Max: declared[1]}, nil
}

// Declaration returns what a host declares: the formats that it accepts, and the last kind of
// messages that it knows.
func Declaration(formats Range, last Kind) []byte { return append(formats.Encode(), byte(last)) }

// KnowsKind tells whether a host that declares this knows a kind of messages. The first versions did
// not declare which they know. All know the kinds up to KindAck, and ignore the rest.
func KnowsKind(declared []byte, k Kind) bool { return len(declared) > 2 && Kind(declared[2]) >= k }

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
	// MaxQuestion, MaxAnswer and MaxRefusal are bytes. An answer fits a message with the rest of it.
	MaxQuestion = 64 << 10
	MaxAnswer   = MaxMessage - 2<<10
	MaxRefusal  = 1 << 10
)

// Kind says what a message is for. It is the second byte of a message.
type Kind byte

// The kinds of messages, and the fields of a Message that they have.
const (
	KindDigests     Kind = 1 + iota // Complete, Digests
	KindRequest                     // Hosts
	KindRecords                     // Records
	KindDelta                       // Delta
	KindSummary                     // Hash
	KindAckRequest                  // Version: of the sender's own record
	KindAck                         // Version: of the receiver's record
	KindHello                       // nothing: asks whether somebody is there
	KindHelloReply                  // nothing: somebody is
	KindClaim                       // Version: of the sender's own record, which has a claim
	KindClaimAnswer                 // Version: of the receiver's record; Digests: what it must have, too; OwnAnswer
	KindQuestion                    // Number, Data: what the sender's agent asks the receiver's
	KindAnswer                      // Number: of the question; Refusal: why there is no answer; Data
)

// LastKind is the last kind that this version knows. A host declares it to the others, see
// KnowsKind.
const LastKind = KindAnswer

// Message is a message of any kind. Kind says which of the last fields it has.
type Message struct {
	Format uint8 // the first byte; 0: the oldest that this version supports
	Kind   Kind
	From   Key // the host that sent it; it may pass on what it has of others

	Complete bool         // Digests are all that the sender has, so the answer is what is newer
	Digests  []Digest     // what the sender has
	Hosts    []Key        // whose records the sender asks for
	Records  []AgedRecord // whole records
	Refused  []error      // why records were left out, as Decode found them invalid
	Delta    Delta        // a change of the sender's own record
	Hash     uint64       // the sum of all digests that the sender has, see Digest.Hash
	// Version is what a host is asked to follow, or says that it follows: its kernel holds what the
	// record asks for. Of a claim and its answer it is what a host is asked to have, or has.
	Version Version
	// OwnAnswer is what the sender of a claim answer says of itself; nil: it is of an early version.
	OwnAnswer *OwnAnswer

	Number  uint64 // tells one question of a host from its others
	Data    []byte // a question or its answer, which only agents read
	Refusal string // for people: why a question is not answered; "": it is
}
