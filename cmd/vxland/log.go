package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"vxlan-driver/internal/wiring"
)

// maxLog is how large the log becomes that an agent without systemd writes. It is in /run, which is memory.
const maxLog = 1 << 20

// stderr is where all that the agent and the keeper say goes, also of why they cannot start.
var stderr = capped{os.Stderr, wiring.AgentLog}

func newLog(level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
}

// capped writes to a file. When that is the one at path and has become too long, what is in it goes to path.old and it begins anew. It is emptied, not
// replaced: the keeper and the agent append to it both, and what a panic says of itself goes there too.
type capped struct {
	*os.File
	path string
}

func (c capped) Write(b []byte) (int, error) {
	n, err := c.File.Write(b)
	if info, statErr := c.Stat(); statErr == nil && info.Size() > maxLog {
		err = errors.Join(err, c.setAside())
	}
	return n, err
}

func (c capped) setAside() error {
	if own, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", c.Fd())); err != nil || own != c.path {
		return err // a file that whoever started the agent looks after
	}
	data, err := os.ReadFile(c.path)
	if err == nil {
		err = os.WriteFile(c.path+".old", data, 0o600)
	}
	return errors.Join(err, c.Truncate(0))
}
