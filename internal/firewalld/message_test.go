package firewalld

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// Another implementation reads what was encoded, whatever the lengths of the strings leave of the
// alignment.
func TestCallsAreReadByAnotherImplementation(t *testing.T) {
	for _, args := range [][]string{nil, {""}, {"a"}, {"trusted", "br-blue"}, {"", "br-vxlan-net", "ü"}} {
		c := methodCall{"org.example.Name" + strings.Repeat("x", len(args)), "/org/example", "org.example.Interface", "Method", args, ""}
		m, err := dbus.DecodeMessage(bytes.NewReader(encodeCall(7, c)))
		if err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		var body []string
		for _, arg := range m.Body {
			body = append(body, arg.(string))
		}
		got := methodCall{
			m.Headers[dbus.FieldDestination].Value().(string), string(m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)),
			m.Headers[dbus.FieldInterface].Value().(string), m.Headers[dbus.FieldMember].Value().(string), body, "",
		}
		if !reflect.DeepEqual(got, c) || m.Serial() != 7 || m.Type != dbus.TypeMethodCall || m.Flags != dbus.FlagNoAutoStart {
			t.Errorf("got %+v of %v, want %+v", got, m, c)
		}
	}
}

// The answers of another implementation, in both byte orders.
func TestAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		answer  *dbus.Message
		returns string
		want    result
		err     string
	}{
		"nothing":                 {answer: answerWith(), returns: ""},
		"true":                    {answer: answerWith(true), returns: "b", want: result{truth: true}},
		"false":                   {answer: answerWith(false), returns: "b"},
		"string":                  {answer: answerWith("public"), returns: "s", want: result{text: "public"}},
		"empty string":            {answer: answerWith(""), returns: "s"},
		"string instead of bool":  {answer: answerWith("yes"), returns: "b", err: `the answer has the signature "s", not "b"`},
		"nothing instead of bool": {answer: answerWith(), returns: "b", err: `the answer has the signature "", not "b"`},
		"two strings":             {answer: answerWith("a", "b"), returns: "s", err: `the answer has the signature "ss", not "s"`},
		"error":                   {answer: errorWith("org.example.Error", "no such zone"), returns: "s", err: "org.example.Error: no such zone"},
		"error with more":         {answer: errorWith("org.example.Error", "why", uint32(3)), returns: "s", err: "org.example.Error: why"},
		"error without text":      {answer: errorWith("org.example.Error"), returns: "s", err: "org.example.Error"},
		"error with a number":     {answer: errorWith("org.example.Error", uint32(3)), returns: "s", err: "org.example.Error"},
	} {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			encoded := encodeMessage(t, test.answer, order)
			m, err := readMessage(bytes.NewReader(append(encoded, "next"...)))
			if err != nil {
				t.Errorf("%s, %v: %v", name, order, err)
				continue
			}
			if m.replySerial != 7 || m.kind != byte(test.answer.Type) {
				t.Errorf("%s, %v: %+v", name, order, m)
			}
			got, err := m.result(test.returns)
			if got != test.want || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
				t.Errorf("%s, %v: got %+v, %v", name, order, got, err)
			}
			for n := range encoded {
				if _, err := readMessage(bytes.NewReader(encoded[:n])); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%s, %v: %d bytes of %d: %v", name, order, n, len(encoded), err)
				}
			}
		}
	}
}

func TestMessagesThatAreRefused(t *testing.T) {
	const start = "l\x02\x01\x01"
	for name, test := range map[string]struct{ data, err string }{
		"byte order":     {"x\x02\x01\x01" + zeros(12), "byte order 'x' of a D-Bus message is unknown"},
		"version":        {"l\x02\x01\x02" + zeros(12), "a D-Bus message has protocol version 2, not 1"},
		"long body":      {start + "\xff\xff\xff\xff" + zeros(8), "a D-Bus message has 4294967311 bytes, more than 65536"},
		"long fields":    {start + zeros(8) + "\xff\xff\xff\xff", "a D-Bus message has 4294967312 bytes, more than 65536"},
		"type of serial": {withFields("\x05\x01s\x00\x01\x00\x00\x00x\x00"), `header field 5 of a D-Bus message has type "s", not "u"`},
		"container":      {withFields("\x63\x02as\x00" + zeros(4)), `header field 99 of a D-Bus message has the unsupported type "as"`},
		"no type":        {withFields("\x63\x00\x00"), `header field 99 of a D-Bus message has the unsupported type ""`},
		"field ends":     {withFields("\x05\x01u\x00\x01\x00"), errTruncated.Error()},
		"long string":    {withFields("\x04\x01s\x00\xff\xff\xff\xffab"), errTruncated.Error()},
		"no NUL":         {withFields("\x04\x01s\x00\x01\x00\x00\x00ab"), errBadString.Error()},
		"NUL within":     {withFields("\x04\x01s\x00\x02\x00\x00\x00a\x00\x00"), errBadString.Error()},
		"no UTF-8":       {withFields("\x04\x01s\x00\x01\x00\x00\x00\xff\x00"), errBadString.Error()},
	} {
		if _, err := readMessage(strings.NewReader(test.data)); err == nil || err.Error() != test.err {
			t.Errorf("%s: got %v, want %v", name, err, test.err)
		}
	}
}

// "Header Fields": "If an implementation sees a header field code that it does not expect, it must
// accept and ignore that field".
func TestUnknownFieldsAreIgnored(t *testing.T) {
	for _, field := range []string{"\x63\x01y\x00\x01", "\x63\x01s\x00\x01\x00\x00\x00x\x00", "\x63\x01t\x00" + zeros(4) + zeros(8), "\x63\x01g\x00\x01y\x00"} {
		padding := zeros(-len(field) & 7)
		m, err := readMessage(strings.NewReader(withFields(field + padding + "\x05\x01u\x00\x07\x00\x00\x00")))
		if err != nil || m.replySerial != 7 {
			t.Errorf("%q: %+v, %v", field, m, err)
		}
	}
}

// A body that ends too early is an error, not a zero value.
func TestBodyThatEnds(t *testing.T) {
	for _, returns := range []string{"s", "b"} {
		m := busMessage{kind: typeMethodReturn, signature: returns, body: decoder{order: binary.LittleEndian, data: []byte{1, 0, 0}}}
		if _, err := m.result(returns); !errors.Is(err, errTruncated) {
			t.Errorf("%q: %v", returns, err)
		}
	}
}

// Whatever comes, nothing panics, no more is read than is allowed, and strings are text.
func FuzzMessage(f *testing.F) {
	for _, m := range []*dbus.Message{answerWith(), answerWith(true), answerWith("public"), errorWith("org.example.Error", "why")} {
		f.Add(encodeMessage(f, m, binary.LittleEndian))
		f.Add(encodeMessage(f, m, binary.BigEndian))
	}
	f.Add(encodeCall(7, methodCall{"org.example.Name", "/org/example", "org.example.Interface", "Method", []string{"a", "b"}, ""}))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		m, err := readMessage(r)
		if read := len(data) - r.Len(); read > maxMessage {
			t.Fatalf("read %d bytes", read)
		}
		if err != nil {
			return
		}
		for _, returns := range []string{"", "b", "s"} {
			got, err := m.result(returns)
			if err != nil && got != (result{}) || strings.Contains(got.text+m.errorName+m.signature, "\x00") {
				t.Errorf("got %+v, %v of %+v", got, err, m)
			}
		}
	})
}

func zeros(n int) string { return strings.Repeat("\x00", n) }

// withFields is a method's answer without a body.
func withFields(fields string) string {
	length := binary.LittleEndian.AppendUint32(nil, uint32(len(fields)))
	return "l\x02\x01\x01" + zeros(4) + "\x01" + zeros(3) + string(length) + fields + zeros(-len(fields)&7)
}

func answerWith(body ...any) *dbus.Message { return messageWith(dbus.TypeMethodReply, body) }

func errorWith(name string, body ...any) *dbus.Message {
	m := messageWith(dbus.TypeError, body)
	m.Headers[dbus.FieldErrorName] = dbus.MakeVariant(name)
	return m
}

// messageWith is an answer to the call with the serial 7.
func messageWith(kind dbus.Type, body []any) *dbus.Message {
	m := &dbus.Message{Type: kind, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(uint32(7)),
		dbus.FieldSender:      dbus.MakeVariant(":1.23"),
	}}
	if len(body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	return m
}

func encodeMessage(t testing.TB, m *dbus.Message, order binary.ByteOrder) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := m.EncodeTo(&out, order); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
