package guard

import (
	"log"
	"log/slog"
	"strings"
)

// libraryLog takes memberlist's log lines. The library reports what it refuses
// nowhere but in its log, so this is also where that is counted. The tests for each
// reason notice when a new version of the library words it differently.
type libraryLog struct {
	refusals *Refusals
	log      *slog.Logger
}

// NewLibraryLogger returns the logger for memberlist. It counts the refusals that
// the library logs.
func NewLibraryLogger(r *Refusals, l *slog.Logger) *log.Logger {
	return log.New(libraryLog{r, l}, "", 0)
}

// Write takes one line.
func (l libraryLog) Write(line []byte) (int, error) {
	level, text := cutLevel(strings.TrimSpace(string(line)))
	if level < slog.LevelWarn {
		l.log.Debug(text)
		return len(line), nil
	}
	if strings.Contains(text, "ignoring alive message") {
		return len(line), nil // the alive delegate refused it, and counted that
	}
	if why, ok := ReasonOf(text); ok {
		l.refusals.Add(why, text)
		return len(line), nil
	}
	// The rest is about members that do not answer. An operator sees those as
	// unreachable hosts; the details are for debugging.
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
	why  Reason
}{
	{"unacceptable label", ReasonWrongLabel},
	{"Decrypt packet failed", ReasonWrongKey},
	{"no installed keys could decrypt", ReasonWrongKey},
	{"remote state is not encrypted", ReasonWrongKey},
	{"encryption is not configured", ReasonWrongKey},
	{"protocol version", ReasonWrongVersion},
	{"Failed to decode", ReasonMalformed},
	{"failed to receive", ReasonMalformed},
	{"Failed to receive", ReasonMalformed},
	{"Failed to read remote state", ReasonMalformed},
	{"Failed to decompress", ReasonMalformed},
	{"not supported", ReasonMalformed},
	{"truncated", ReasonMalformed},
	{"label header cannot", ReasonMalformed},
	{"invalid checksum", ReasonMalformed},
	{"invalid msgType", ReasonMalformed},
	{"missing message type", ReasonMalformed},
	{"too short", ReasonMalformed},
	{"Too many pending", ReasonOverload},
}

// ReasonOf returns the reason for a refusal that an error or log line of memberlist
// tells of, if it tells of one.
func ReasonOf(text string) (Reason, bool) {
	for _, r := range libraryReasons {
		if strings.Contains(text, r.part) {
			return r.why, true
		}
	}
	return "", false
}
