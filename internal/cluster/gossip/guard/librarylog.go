package guard

import (
	"log"
	"log/slog"
	"strings"

	"vxlan-driver/internal/cluster/gossip/refusal"
)

// libraryLog takes memberlist's log lines. The library reports what it refuses nowhere but in its
// log, so this is also where that is counted. The tests for each reason notice when a new version
// of the library words it differently.
type libraryLog struct {
	refusals *refusal.Counter
	log      *slog.Logger
}

// NewLibraryLogger returns the logger for memberlist. It counts the refusals that the library logs.
func NewLibraryLogger(r *refusal.Counter, l *slog.Logger) *log.Logger {
	return log.New(&libraryLog{refusals: r, log: l}, "", 0)
}

// Write takes one line.
func (l *libraryLog) Write(line []byte) (int, error) {
	level, text := cutLevel(strings.TrimSpace(string(line)))
	if level < slog.LevelWarn {
		l.log.Debug(text)
		return len(line), nil
	}
	if strings.Contains(text, "ignoring alive message") || strings.Contains(text, errNothingSent.Error()) {
		return len(line), nil // the alive delegate refused it, and counted that; or there was no message
	}
	if why, ok := ReasonOf(text); ok {
		l.refusals.AddFrom(why, refusal.SenderIn(text), text)
		return len(line), nil
	}
	// The rest is about members that do not answer. An operator sees those as unreachable hosts;
	// the details are for debugging.
	l.log.Debug(text)
	return len(line), nil
}

// cutLevel splits "[ERR] memberlist: text".
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

// libraryReasons are parts of memberlist's messages. The first that matches counts.
var libraryReasons = []struct {
	part string
	why  refusal.Reason
}{
	{"unacceptable label", refusal.ReasonWrongLabel},
	{"Decrypt packet failed", refusal.ReasonWrongKey},
	{"no installed keys could decrypt", refusal.ReasonWrongKey},
	{"remote state is not encrypted", refusal.ReasonWrongKey},
	{"encryption is not configured", refusal.ReasonWrongKey},
	{"protocol version", refusal.ReasonWrongVersion},
	{"Failed to decode", refusal.ReasonMalformed},
	{"failed to receive", refusal.ReasonMalformed},
	{"Failed to receive", refusal.ReasonMalformed},
	{"Failed to read remote state", refusal.ReasonMalformed},
	{"Failed to decompress", refusal.ReasonMalformed},
	{"not supported", refusal.ReasonMalformed},
	{"truncated", refusal.ReasonMalformed},
	{"label header cannot", refusal.ReasonMalformed},
	{"invalid checksum", refusal.ReasonMalformed},
	{"invalid msgType", refusal.ReasonMalformed},
	{"missing message type", refusal.ReasonMalformed},
	{"too short", refusal.ReasonMalformed},
	{"Too many pending", refusal.ReasonOverload},
}

// ReasonOf returns the reason for a refusal that an error or log line of memberlist tells of, if it
// tells of one.
func ReasonOf(text string) (refusal.Reason, bool) {
	for _, r := range libraryReasons {
		if strings.Contains(text, r.part) {
			return r.why, true
		}
	}
	return "", false
}
