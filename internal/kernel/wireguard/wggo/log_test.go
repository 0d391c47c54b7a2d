package wggo

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A host that cannot be reached must not fill the log.
func TestLogIsLimited(t *testing.T) {
	var out strings.Builder
	now := time.Unix(1000, 0)
	l := &limitedLog{log: slog.New(slog.NewTextHandler(&out, nil)), now: func() time.Time { return now }}
	for n := range 1000 {
		l.errorf("failed to send %d: %v", n, errors.New("network is unreachable"))
	}
	if got := strings.Count(out.String(), "failed to send"); got != logMost {
		t.Errorf("%d of 1000 messages were logged", got)
	}
	out.Reset()
	now = now.Add(logPeriod + time.Second)
	l.errorf("failed again")
	for _, want := range []string{"messages=990", "wireguard-go: failed again"} {
		if got := out.String(); !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	out.Reset()
	l.errorf("failed to get MTU: %v", fmt.Errorf("ioctl: %w", unix.ENODEV))
	if out.Len() > 0 {
		t.Error(out.String())
	}
}
