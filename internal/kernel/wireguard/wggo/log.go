package wggo

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/device"
)

const (
	// logPeriod is how long messages are counted. wireguard-go has one for each packet that it cannot send.
	logPeriod = time.Minute
	// logMost is how many messages of a period are logged.
	logMost = 10
)

// newLogger returns what writes wireguard-go's errors to the log. What else it says is for its developers.
func newLogger(log *slog.Logger) *device.Logger {
	l := &limitedLog{log: log, now: time.Now}
	return &device.Logger{Verbosef: device.DiscardLogf, Errorf: l.errorf}
}

// limitedLog logs some messages, and counts the others.
type limitedLog struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	began   time.Time // of the period
	count   int
	dropped int
}

func (l *limitedLog) errorf(format string, args ...any) {
	if isDeleted(args) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); now.Sub(l.began) > logPeriod {
		if l.dropped > 0 {
			l.log.Warn("wireguard-go had more to say than is logged", "messages", l.dropped)
		}
		l.began, l.count, l.dropped = now, 0, 0
	}
	if l.count++; l.count > logMost {
		l.dropped++
		return
	}
	l.log.Warn("wireguard-go: " + fmt.Sprintf(format, args...))
}

// isDeleted tells whether a message is about the device that was deleted, which ends the process anyway.
func isDeleted(args []any) bool {
	return slices.ContainsFunc(args, func(arg any) bool {
		err, ok := arg.(error)
		return ok && (errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EBADFD))
	})
}
