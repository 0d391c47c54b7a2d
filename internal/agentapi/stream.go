package agentapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"iter"
)

// Stream writes a response that is too large to be held: beside 50,000 containers it has 30 MB.
// Whoever reads it finds no difference. It is an interface, as the plugin, which is small, has no
// writer.
type Stream interface{ writeTo(out io.Writer) error }

// StreamFunc writes the fields of such a response.
type StreamFunc func(w *ResponseWriter)

func (f StreamFunc) writeTo(out io.Writer) error {
	w := newResponseWriter(out)
	w.object(func() { f(w) })
	w.raw("\n")
	return w.finish()
}

// Write writes the response as JSON.
func (r Response) Write(out io.Writer) error {
	if r.Stream != nil {
		return r.Stream.writeTo(out)
	}
	return json.NewEncoder(out).Encode(r)
}

// ResponseWriter writes JSON piece by piece. After an error it writes no more.
type ResponseWriter struct {
	out     *bufio.Writer
	value   bytes.Buffer // the piece that is written next
	encoder *json.Encoder
	isNext  bool // the object or list has a field or an item already
	err     error
}

func newResponseWriter(out io.Writer) *ResponseWriter {
	w := &ResponseWriter{out: bufio.NewWriterSize(out, 32<<10)}
	w.encoder = json.NewEncoder(&w.value)
	return w
}

func (w *ResponseWriter) finish() error {
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.err
}

// Fields writes the fields of a struct. Long lists of it are nil, and left out by their tags.
func (w *ResponseWriter) Fields(of any) {
	data := bytes.TrimSpace(w.encode(of))
	if data = bytes.TrimSuffix(bytes.TrimPrefix(data, []byte("{")), []byte("}")); len(data) > 0 {
		w.separate()
		w.write(data)
	}
}

// Object writes a field that is an object.
func (w *ResponseWriter) Object(name string, fill func()) {
	w.key(name)
	w.object(fill)
}

// JSON writes a field that is JSON already.
func (w *ResponseWriter) JSON(name string, value []byte) {
	w.key(name)
	w.write(value)
}

// WriteList writes a field that is a list.
func WriteList[E any](w *ResponseWriter, name string, items iter.Seq[E]) {
	w.list(name, func() {
		for e := range items {
			w.separate()
			if w.write(w.encode(&e)); w.err != nil {
				return // nobody reads the rest
			}
		}
	})
}

// WriteObjects writes a field that is a list of objects, each of which fill makes of an item.
func WriteObjects[E any](w *ResponseWriter, name string, items []E, fill func(E)) {
	w.list(name, func() {
		for _, e := range items {
			w.separate()
			w.object(func() { fill(e) })
		}
	})
}

func (w *ResponseWriter) list(name string, fill func()) {
	w.key(name)
	w.nest("[", fill, "]")
}

func (w *ResponseWriter) object(fill func()) { w.nest("{", fill, "}") }

func (w *ResponseWriter) nest(begin string, fill func(), end string) {
	w.raw(begin)
	w.isNext = false
	fill()
	w.raw(end)
	w.isNext = true
}

func (w *ResponseWriter) key(name string) {
	w.separate()
	w.raw(`"` + name + `":`)
}

func (w *ResponseWriter) separate() {
	if w.isNext {
		w.raw(",")
	}
	w.isNext = true
}

// encode returns a value as JSON, which is valid until the next one is encoded.
func (w *ResponseWriter) encode(value any) []byte {
	w.value.Reset()
	if err := w.encoder.Encode(value); err != nil && w.err == nil {
		w.err = err
	}
	return w.value.Bytes()
}

func (w *ResponseWriter) raw(text string) { w.write([]byte(text)) }

func (w *ResponseWriter) write(data []byte) {
	if w.err == nil {
		_, w.err = w.out.Write(data)
	}
}
