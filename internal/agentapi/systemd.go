package agentapi

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The agent's systemd units. The socket unit starts it.
const (
	SocketUnit  = "vxland.socket"
	ServiceUnit = "vxland.service"
)

// unitGrace is how long nobody may listen on the socket of a socket unit that is active. An agent
// that makes the socket anew, since its file was removed, takes some 30 ms.
const unitGrace = 500 * time.Millisecond

// errNoAnswer says that systemd is slow. What it was asked for may be done later.
var errNoAnswer = errors.New("no answer in time")

// systemctl has this path on every system that systemd runs on.
const systemctl = "/usr/bin/systemctl"

// unitDirs are the directories of units that administrators and packages install (systemd.unit(5)).
var unitDirs = []string{
	"/etc/systemd/system", "/run/systemd/system",
	"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
}

// isUnitInstalled tells whether the agent is systemd's to start. A masked unit is installed too:
// nobody is to start the agent then.
func isUnitInstalled() bool {
	for _, dir := range unitDirs {
		if _, err := os.Stat(filepath.Join(dir, SocketUnit)); err == nil {
			return true
		}
	}
	return false
}

// startUnit makes systemd listen for the agent. It tells whether the unit is known. If so, no other
// agent may be started: it would take systemd's socket, or wait for the lock of systemd's agent.
func (c Client) startUnit(deadline time.Time) (known bool, err error) {
	err = runSystemctl(deadline, "start", SocketUnit)
	switch {
	case err == nil:
		return true, nil
	case !isUnitInstalled():
		return false, err
	case errors.Is(err, errNoAnswer):
		return true, err // it may still start, and a restart would end it
	}
	return true, c.resetUnit(deadline)
}

// enableTimeout is how long systemd may take to enable units and to start the agent.
const enableTimeout = 20 * time.Second

// KeepRunning makes an agent run with the configuration that is there by now. Where systemd runs, it
// does so after each boot. Elsewhere the next container starts it after a boot.
func (c Client) KeepRunning() error {
	if c.Systemd && c.Binary == "" && isUnitInstalled() {
		// Not only a start anew in place: the agent may write to the /etc/vxlan that was there when its
		// unit started, and not to one that was made since.
		for _, verb := range []string{"enable", "restart"} {
			if err := runSystemctl(time.Now().Add(enableTimeout), verb, SocketUnit, ServiceUnit); err != nil {
				return err
			}
		}
	}
	if err := os.MkdirAll(filepath.Dir(c.Socket), 0o700); err != nil { // no container was there yet
		return err
	}
	return c.Refresh(true)
}

// resetUnit makes systemd listen anew. A socket unit may be active although its file is gone. It
// may also have failed, since the agent was started too often.
func (c Client) resetUnit(deadline time.Time) error {
	if IsAnswered(c.Socket) {
		return nil // somebody else was quicker, and a restart would end the agent
	}
	err := runSystemctl(deadline, "reset-failed", SocketUnit, ServiceUnit) // fails for one that is not loaded
	if !errors.Is(err, errNoAnswer) {
		err = runSystemctl(deadline, "restart", SocketUnit)
	}
	if err != nil {
		return err
	}
	c.Warn(fmt.Sprintf("nobody listened on %s, so %s was restarted; see `journalctl -u %[2]s -u %s` for why",
		c.Socket, SocketUnit, ServiceUnit))
	return nil
}

// runSystemctl runs a command of systemd's. The error has what the command printed.
func runSystemctl(deadline time.Time, args ...string) error {
	what := "systemctl " + strings.Join(args, " ")
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer r.Close()
	exited, err := spawnDetached(w, append([]string{systemctl}, args...)...)
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	select {
	case err := <-exited:
		if err == nil {
			return nil
		}
		_ = r.SetReadDeadline(deadline) // a process that outlives systemctl may have the other end
		said, _ := io.ReadAll(r)
		return fmt.Errorf("%s: %w: %s", what, err, strings.TrimSpace(string(said)))
	case <-time.After(time.Until(deadline)):
		return fmt.Errorf("%s: %w", what, errNoAnswer)
	}
}
