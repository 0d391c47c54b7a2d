package gossip

import (
	"log"
	"log/slog"
	"strings"
)

// memlog takes memberlist's log lines. What the library refuses it tells nobody
// but its log, so this is also where that is counted. The tests for each reason
// notice when a new version of the library words it differently.
type memlog struct {
	counters *counters
	log      *slog.Logger
}

func newMemlog(c *counters, l *slog.Logger) *log.Logger { return log.New(memlog{c, l}, "", 0) }

// refusals are parts of memberlist's messages, the first that fits counts.
var refusals = []struct {
	part string
	why  reason
}{
	{"unacceptable label", wrongLabel},
	{"Decrypt packet failed", wrongKey},
	{"no installed keys could decrypt", wrongKey},
	{"remote state is not encrypted", wrongKey},
	{"encryption is not configured", wrongKey},
	{"protocol version", wrongVersion},
	{"Failed to decode", malformed},
	{"failed to receive", malformed},
	{"Failed to receive", malformed},
	{"Failed to read remote state", malformed},
	{"Failed to decompress", malformed},
	{"not supported", malformed},
	{"truncated", malformed},
	{"label header cannot", malformed},
	{"invalid checksum", malformed},
	{"invalid msgType", malformed},
	{"missing message type", malformed},
	{"too short", malformed},
	{"Too many pending", overload},
}

// classify tells what kind of refusal memberlist speaks of, if of any.
func classify(text string) (reason, bool) {
	for _, r := range refusals {
		if strings.Contains(text, r.part) {
			return r.why, true
		}
	}
	return "", false
}

// Write takes one line.
func (m memlog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	level, text := cutLevel(text)
	if level < slog.LevelWarn {
		m.log.Debug(text)
		return len(line), nil
	}
	if strings.Contains(text, "ignoring alive message") {
		return len(line), nil // by our own delegate, which has counted it
	}
	if why, ok := classify(text); ok {
		m.counters.refuse(why, text)
		return len(line), nil
	}
	// What is left are peers that do not answer, which is what an operator sees as
	// an unreachable host; the details are for debugging.
	m.log.Debug(text)
	return len(line), nil
}

// cutLevel takes "[ERR] memberlist: text" apart.
func cutLevel(text string) (slog.Level, string) {
	level := slog.LevelWarn // some lines have none
	if tag, rest, ok := strings.Cut(text, "] "); ok && strings.HasPrefix(tag, "[") {
		switch tag {
		case "[DEBUG":
			level = slog.LevelDebug
		case "[INFO":
			level = slog.LevelInfo
		}
		text = rest
	}
	return level, strings.TrimPrefix(text, "memberlist: ")
}
