package agentapi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newInstalledClient returns a client whose agent is a program called vxland.
func newInstalledClient(t *testing.T) Client {
	t.Helper()
	c := newClient(t, "")
	program, err := os.ReadFile(c.Binary)
	if err != nil {
		t.Fatal(err)
	}
	c.Binary = filepath.Join(t.TempDir(), "vxland")
	if err := os.WriteFile(c.Binary, program, 0o700); err != nil {
		t.Fatal(err)
	}
	return c
}

// wantStarts checks how many agents have run.
func wantStarts(t *testing.T, c Client, want int) {
	t.Helper()
	log, err := os.ReadFile(c.Log)
	if err != nil || strings.Count(string(log), "agent runs") != want {
		t.Errorf("want %d starts: %q, %v", want, log, err)
	}
}

func TestRefreshStartsAgentOnlyWhereNeeded(t *testing.T) {
	c := newInstalledClient(t)
	if err := c.Refresh(false); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(c.Log); err == nil {
		t.Error("an agent was started that nobody needs")
	}
	for range 2 { // the second has nothing to do
		if err := c.Refresh(true); err != nil {
			t.Error(err)
		}
	}
	wantStarts(t, c, 1)
}

// An agent of before cannot start anew by itself.
func TestRefreshReplacesOldAgent(t *testing.T) {
	c := newInstalledClient(t)
	if err := os.WriteFile(c.Socket+".old", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Sync(""); err != nil {
		t.Fatal(err)
	}
	if err := c.Refresh(true); err != nil {
		t.Error(err)
	}
	wantStarts(t, c, 2)
}

func TestStopEndsAgent(t *testing.T) {
	c := newInstalledClient(t)
	if err := c.Stop(); err != nil {
		t.Errorf("without an agent: %v", err)
	}
	if err := c.Sync(""); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	if pid, err := c.agentPID(); pid != 0 || err != nil {
		t.Errorf("process %d still listens, %v", pid, err)
	}
}
