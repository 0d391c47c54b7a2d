package agent

import (
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

// shortageLogInterval is how often a shortage that lasts is logged.
const shortageLogInterval = time.Minute

// shortageLog logs that callers have to wait, and what to do. It is used by one goroutine.
type shortageLog struct {
	log  *slog.Logger
	last time.Time
}

// Report logs the error of accept, unless it did so lately.
func (s *shortageLog) Report(err error) {
	if !s.last.IsZero() && time.Since(s.last) < shortageLogInterval {
		return
	}
	s.last = time.Now()
	hint := "free memory"
	switch {
	case errors.Is(err, unix.EMFILE):
		hint = "raise the agent's limit of open files: LimitNOFILE= in vxland.service"
	case errors.Is(err, unix.ENFILE):
		hint = "raise the host's limit of open files: sysctl fs.file-max"
	}
	s.log.Warn("cannot accept connections of plugins; they wait", "err", err, "hint", hint)
}
