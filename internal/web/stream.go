package web

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Types of files.
const (
	TypeSVG  = "image/svg+xml"
	TypeJSON = "application/json"
)

// serveStream sends sections as they change, as server-sent events, until the client goes away.
func (p pageServer) serveStream(w http.ResponseWriter, r *http.Request) {
	select {
	case p.streams <- struct{}{}:
		defer func() { <-p.streams }()
	default:
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many pages are open; close one", http.StatusServiceUnavailable)
		return
	}
	defer p.feed.startReaders()()
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}
	out := http.NewResponseController(w)
	// The request is read. A deadline that passes later would end the stream.
	if err := out.SetReadDeadline(time.Time{}); err != nil {
		return
	}
	alive := time.NewTicker(aliveInterval)
	defer alive.Stop()
	// The browser asks again soon after the connection has ended. It has the sections of version 0.
	message, version := "retry: 1000\n\n", uint64(0)
	for {
		newer, now, changed := p.feed.sectionsSince(version)
		version = now
		for _, s := range newer {
			message += sectionEvent(s)
		}
		if message != "" {
			_ = out.SetWriteDeadline(time.Now().Add(p.writeTimeout))
			if _, err := io.WriteString(w, message); err != nil || out.Flush() != nil {
				return
			}
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
			message = ""
		case <-alive.C:
			message = ": alive\n\n"
		}
	}
}

// sectionEvent is a section in the format of server-sent events. JSON keeps it in one line.
func sectionEvent(s renderedSection) string {
	data, err := json.Marshal(map[string]string{"id": s.ID, "html": s.HTML})
	if err != nil {
		return "" // two strings can be encoded
	}
	return fmt.Sprintf("event: section\ndata: %s\n\n", data)
}
