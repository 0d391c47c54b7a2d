package firewalld

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Messages are as in the D-Bus specification; quoted words are titles of its sections. The smallest
// part of it is here that firewalld needs.

// Message types, flags and header fields ("Message Format").
const (
	typeMethodCall   = 1
	typeMethodReturn = 2
	typeError        = 3

	flagNoAutoStart = 2
	protocolVersion = 1

	fieldPath        = 1
	fieldInterface   = 2
	fieldMember      = 3
	fieldErrorName   = 4
	fieldReplySerial = 5
	fieldDestination = 6
	fieldSignature   = 8
)

// fieldTypes are the types of the header fields that the specification knows ("Header Fields").
var fieldTypes = map[byte]string{1: "o", 2: "s", 3: "s", 4: "s", 5: "u", 6: "s", 7: "s", 8: "g", 9: "u"}

// basicSizes are the sizes of types of a fixed size, which are their alignments too ("Summary of
// D-Bus marshalling").
var basicSizes = map[string]uint32{"y": 1, "n": 2, "q": 2, "b": 4, "i": 4, "u": 4, "h": 4, "x": 8, "t": 8, "d": 8}

// maxMessage bounds what a message of the bus can make us allocate. The longest that is expected is
// an error with Python's traceback. The specification allows 128 MiB.
const maxMessage = 64 << 10

// methodCall is a call whose arguments are strings.
type methodCall struct {
	destination, path, iface, member string
	args                             []string
	returns                          string // the signature of the answer: "", "b" or "s"
}

// result is what a method returned: text for "s", truth for "b".
type result struct {
	text  string
	truth bool
}

// callError is an answer that says why a call did not succeed.
type callError struct{ name, text string }

func (e *callError) Error() string {
	if e.text == "" {
		return e.name
	}
	return e.name + ": " + e.text
}

// encodeCall returns the message of a call ("Message Format"). It does not make the bus start a
// program.
func encodeCall(serial uint32, c methodCall) []byte {
	var body []byte
	for _, arg := range c.args {
		body = appendString(alignTo(body, 4), arg)
	}
	m := []byte{'l', typeMethodCall, flagNoAutoStart, protocolVersion}
	m = binary.LittleEndian.AppendUint32(m, uint32(len(body)))
	m = binary.LittleEndian.AppendUint32(m, serial)
	m = binary.LittleEndian.AppendUint32(m, 0) // the length of the fields, below
	start := len(m)
	m = appendString(append(alignTo(m, 8), fieldPath, 1, 'o', 0), c.path)
	m = appendString(append(alignTo(m, 8), fieldInterface, 1, 's', 0), c.iface)
	m = appendString(append(alignTo(m, 8), fieldMember, 1, 's', 0), c.member)
	m = appendString(append(alignTo(m, 8), fieldDestination, 1, 's', 0), c.destination)
	if n := len(c.args); n > 0 {
		m = append(alignTo(m, 8), fieldSignature, 1, 'g', 0, byte(n))
		m = append(append(m, strings.Repeat("s", n)...), 0)
	}
	binary.LittleEndian.PutUint32(m[start-4:], uint32(len(m)-start))
	return append(alignTo(m, 8), body...)
}

func alignTo(b []byte, size int) []byte {
	return append(b, make([]byte, -len(b)&(size-1))...)
}

// appendString appends a string or an object path where a multiple of 4 bytes precedes it.
func appendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
	return append(append(b, s...), 0)
}

// busMessage is what this client needs to know of a message that it got.
type busMessage struct {
	kind        byte
	replySerial uint32
	member      string
	errorName   string
	signature   string
	body        decoder
}

// readMessage reads one message, of either byte order: the bus passes on what the sender chose.
func readMessage(r io.Reader) (busMessage, error) {
	fixed := make([]byte, 16) // up to the length of the fields
	if _, err := io.ReadFull(r, fixed); err != nil {
		return busMessage{}, err
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case fixed[0] == 'B':
		order = binary.BigEndian
	case fixed[0] != 'l':
		return busMessage{}, fmt.Errorf("byte order %q of a D-Bus message is unknown", fixed[0])
	}
	if fixed[3] != protocolVersion {
		return busMessage{}, fmt.Errorf("a D-Bus message has protocol version %d, not %d", fixed[3], protocolVersion)
	}
	end := 16 + uint64(order.Uint32(fixed[12:])) // of the fields
	start := (end + 7) &^ 7                      // of the body
	size := start + uint64(order.Uint32(fixed[4:]))
	if size > maxMessage {
		return busMessage{}, fmt.Errorf("a D-Bus message has %d bytes, more than %d", size, maxMessage)
	}
	data := append(fixed, make([]byte, size-16)...)
	if _, err := io.ReadFull(r, data[16:]); err != nil {
		return busMessage{}, err
	}
	m := busMessage{kind: data[1], body: decoder{order: order, data: data[start:]}}
	return m, m.decodeFields(decoder{order: order, data: data[:end], at: 16})
}

// decodeFields reads the fields, an array of structs of a code and a variant ("Header Fields").
// Unknown fields are ignored, but one with a container is refused, since the specification has
// none.
func (m *busMessage) decodeFields(d decoder) error {
	for d.err == nil && d.at < len(d.data) {
		d.take(8, 0)
		code := d.byte()
		kind := d.signature()
		if want, known := fieldTypes[code]; known && kind != want && d.err == nil {
			return fmt.Errorf("header field %d of a D-Bus message has type %q, not %q", code, kind, want)
		}
		var text string
		var number uint32
		switch kind {
		case "s", "o":
			text = d.string()
		case "g":
			text = d.signature()
		case "u":
			number = d.uint32()
		default:
			size, fixed := basicSizes[kind]
			if !fixed && d.err == nil {
				return fmt.Errorf("header field %d of a D-Bus message has the unsupported type %q", code, kind)
			}
			d.take(max(size, 1), size)
		}
		switch code {
		case fieldMember:
			m.member = text
		case fieldErrorName:
			m.errorName = text
		case fieldReplySerial:
			m.replySerial = number
		case fieldSignature:
			m.signature = text
		}
	}
	return d.err
}

// result returns what an answer says.
func (m *busMessage) result(want string) (result, error) {
	d := m.body
	if m.kind == typeError {
		e := &callError{name: m.errorName}
		if strings.HasPrefix(m.signature, "s") {
			e.text = d.string()
		}
		return result{}, e
	}
	if m.signature != want {
		return result{}, fmt.Errorf("the answer has the signature %q, not %q", m.signature, want)
	}
	var r result
	switch want {
	case "s":
		r.text = d.string()
	case "b":
		r.truth = d.uint32() != 0
	}
	return r, d.err
}

var (
	errTruncated = errors.New("a D-Bus message ends within a value")
	errBadString = errors.New("a D-Bus message has a string that is not UTF-8 or does not end with NUL")
)

// decoder reads values one after the other ("Marshaling"). After an error all values are zero.
type decoder struct {
	order binary.ByteOrder
	data  []byte // begins at a multiple of 8 bytes in the message
	at    int
	err   error
}

// take returns the next n bytes at a multiple of align, nil if there are none.
func (d *decoder) take(align, n uint32) []byte {
	at := (uint64(d.at) + uint64(align) - 1) / uint64(align) * uint64(align)
	if d.err == nil && at+uint64(n) > uint64(len(d.data)) {
		d.err = errTruncated
	}
	if d.err != nil {
		return nil
	}
	d.at = int(at) + int(n)
	return d.data[at:d.at]
}

func (d *decoder) byte() byte {
	if b := d.take(1, 1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4, 4); b != nil {
		return d.order.Uint32(b)
	}
	return 0
}

// string reads a string or an object path.
func (d *decoder) string() string { return d.text(d.uint32()) }

func (d *decoder) signature() string { return d.text(uint32(d.byte())) }

// text reads n bytes, and the NUL after them.
func (d *decoder) text(n uint32) string {
	s := string(d.take(1, n))
	if end := d.byte(); d.err == nil && (end != 0 || strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s)) {
		d.err = errBadString
	}
	if d.err != nil {
		return ""
	}
	return s
}
