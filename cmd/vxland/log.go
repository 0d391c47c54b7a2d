package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/journal"
	"vxlan-driver/internal/wiring"
)

// maxLogSize bounds the log of an agent that runs without systemd. It is in /run, which is memory.
const maxLogSize = 1 << 20

// stderr takes all messages of agent and keeper, including why they cannot start.
var stderr = cappedFile{os.Stderr, wiring.AgentLog}

func newLog(level slog.Leveler) *slog.Logger {
	if journal.IsStream(os.Stderr) {
		return slog.New(journal.NewHandler(journal.SocketPath, stderr, level))
	}
	return slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
}

// cappedFile is a file whose content moves to path.old when it exceeds maxLogSize, if it is the
// file at path. It is truncated and not replaced, since keeper and agent both append to it, and so
// does the runtime in a panic.
type cappedFile struct {
	*os.File
	path string
}

// Write appends to the file, and rotates it if it has become too long.
func (c cappedFile) Write(b []byte) (int, error) {
	n, err := c.File.Write(b)
	if info, statErr := c.Stat(); statErr == nil && info.Size() > maxLogSize {
		err = errors.Join(err, c.rotate())
	}
	return n, err
}

// reopenLog opens the log anew if its file was removed: nobody could read what goes there.
func reopenLog() error {
	own, err := os.Readlink("/proc/self/fd/2")
	if err != nil || own != wiring.AgentLog+" (deleted)" {
		return nil
	}
	f, err := os.OpenFile(wiring.AgentLog, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(unix.Dup3(int(f.Fd()), 1, 0), unix.Dup3(int(f.Fd()), 2, 0))
}

func (c cappedFile) rotate() error {
	if own, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", c.Fd())); err != nil || own != c.path {
		return err // whoever chose another file takes care of it
	}
	data, err := os.ReadFile(c.path)
	if err == nil {
		err = os.WriteFile(c.path+".old", data, 0o600)
	}
	return errors.Join(err, c.Truncate(0))
}
