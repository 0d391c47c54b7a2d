package journal

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"

	"vxlan-driver/internal/diagnosis"
)

// Handler writes each record to the journal: the line that slog's text handler would write, without
// its time, and each attribute as a field VXLAN_NAME. A record with an attribute "code" or "event"
// has that one's MESSAGE_ID, by which the journal finds all such records and their explanation.
type Handler struct {
	out   *output
	text  slog.Handler // writes to out.line
	attrs []slog.Attr  // of WithAttrs
	group string       // of WithGroup, as a prefix of keys
}

// output is what all handlers of a log share.
type output struct {
	mu       sync.Mutex
	line     bytes.Buffer
	socket   socket
	fallback io.Writer
}

// NewHandler returns a handler that writes to the journal's socket at a path. What the journal does
// not take goes to fallback.
func NewHandler(path string, fallback io.Writer, level slog.Leveler) *Handler {
	out := &output{socket: socket{path: path}, fallback: fallback}
	text := slog.NewTextHandler(&out.line, &slog.HandlerOptions{Level: level, ReplaceAttr: dropTime})
	return &Handler{out: out, text: text}
}

// dropTime leaves out the time, which the journal adds.
func dropTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// Enabled tells whether records of a level are written.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.text.Enabled(ctx, level)
}

// WithAttrs returns a handler whose records have further attributes.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.text = h.text.WithAttrs(attrs)
	next.attrs = append(append([]slog.Attr{}, h.attrs...), h.prefixed(attrs)...)
	return &next
}

// WithGroup returns a handler whose further attributes are of a group.
func (h *Handler) WithGroup(name string) slog.Handler {
	next := *h
	next.text = h.text.WithGroup(name)
	next.group += name + "_"
	return &next
}

func (h *Handler) prefixed(attrs []slog.Attr) []slog.Attr {
	all := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		all[i] = slog.Attr{Key: h.group + a.Key, Value: a.Value}
	}
	return all
}

// Handle writes a record.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	attrs := append([]slog.Attr{}, h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, h.prefixed([]slog.Attr{a})...)
		return true
	})
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	h.out.line.Reset()
	if err := h.text.Handle(ctx, r); err != nil {
		return err
	}
	var e entry
	e.Add("MESSAGE", strings.TrimSuffix(h.out.line.String(), "\n"))
	e.Add("PRIORITY", priority(r.Level))
	e.Add("SYSLOG_IDENTIFIER", "vxland")
	for _, a := range attrs {
		if value := a.Value.Resolve().String(); value != "" {
			e.Add(fieldPrefix+fieldName(a.Key), value)
		}
	}
	if id := messageID(attrs); id != "" {
		e.Add("MESSAGE_ID", id)
	}
	if h.out.socket.Send(e.data) == nil {
		return nil
	}
	_, err := h.out.fallback.Write(h.out.line.Bytes())
	return err
}

// messageID returns the identifier of what a record tells, "" if it has none.
func messageID(attrs []slog.Attr) (id string) {
	for _, a := range attrs {
		switch text := a.Value.String(); {
		case text == "":
		case a.Key == "code":
			return diagnosis.Code(text).MessageID()
		case a.Key == "event":
			id = diagnosis.Code(text).MessageID()
		}
	}
	return id
}

// priority returns the level as syslog(3) numbers it.
func priority(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "3"
	case l >= slog.LevelWarn:
		return "4"
	case l >= slog.LevelInfo:
		return "6"
	}
	return "7"
}

// fieldPrefix tells this project's fields from others.
const fieldPrefix = "VXLAN_"

// fieldName makes an attribute's key a field's name: capitals, digits and "_"
// (systemd.journal-fields(7)).
func fieldName(key string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(key))
}
