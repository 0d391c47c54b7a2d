package agenttest

import (
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// tryTop looks at a host's screen. Rates, other hosts and events are what a real agent says, and they
// follow what happens.
func tryTop(t *testing.T, h, other *lab.Host, pinged string) {
	t.Helper()
	labtest.Within(t, 20*time.Second, h, "vxlanctl status | grep -q '0 B/s *0 B/s'")
	term := labtest.OnTerminal(t, h, "vxlanctl", "top", "--interval", "500ms")
	for _, text := range []string{
		h.Name() + ": all is well: 1 network, 1 container here, 1 on other hosts",
		"Networks", "net", "[1/1]", "Other hosts", other.Name(), "reachable", "Events", "agent-started", "q end",
	} {
		term.WaitFor(0, text)
	}
	after := len(term.Written())
	labtest.Sh(t, h, "podman exec ca ping -q -c 300 -i 0.01 -s 1000 "+pinged+" >/dev/null & echo $! >/tmp/ping.pid")
	term.WaitFor(after, " kB/s")
	term.Press("?")
	term.WaitFor(after, "Any key goes back")
	after = len(term.Written())
	term.Press("x")
	term.WaitFor(after, "q end")
	term.Press("q")
	term.WantEnd()
}
