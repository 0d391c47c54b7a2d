package agenttest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// keepBusy uses all processors twice over until the test ends.
func keepBusy(t *testing.T) {
	t.Helper()
	for range 2 * runtime.NumCPU() {
		loop := exec.CommandContext(t.Context(), "sh", "-c", "while :; do :; done")
		if err := loop.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = loop.Process.Kill()
			_ = loop.Wait() // it was killed
		})
	}
}

// firstConnections is how often a test starts a first container; VXLAN_FIRST_CONNECTIONS sets it.
func firstConnections() int {
	if n, err := strconv.Atoi(os.Getenv("VXLAN_FIRST_CONNECTIONS")); err == nil {
		return n
	}
	return 10
}

// firstConnectionTime starts a container on a host and returns how long its first connection took.
func firstConnectionTime(t *testing.T, h *lab.Host, addr string) time.Duration {
	t.Helper()
	var from, to float64 // seconds
	out := labtest.Sh(t, h, fmt.Sprintf(`podman run --rm --network net localhost/busybox sh -c '
		read a _ </proc/uptime; wget -qO /dev/null http://%s/; read b _ </proc/uptime; echo $a $b'`, addr))
	if _, err := fmt.Sscan(out, &from, &to); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return time.Duration((to - from) * float64(time.Second))
}

// lostQuestion is less than the time after which a lost ARP question is asked again.
const lostQuestion = 900 * time.Millisecond

// A host's first container on a network reaches other hosts at once, also while the machine is
// busy: its start returns when they can answer it. An ARP question that is lost costs a second.
func TestFirstContainerOfBusyHostConnectsAtOnce(t *testing.T) {
	for name, tt := range map[string]struct{ flags, url string }{
		"IPv4":   {"--subnet 10.0.0.0/24", "%s"},
		"IPv6":   {"--subnet fd00:10::/64", "[%s]"},
		"gossip": {"--subnet 10.0.0.0/24 --opt discovery=gossip", "%s"},
	} {
		t.Run(name, func(t *testing.T) {
			l := startLab(t, 2)
			labtest.CreateNetwork(t, l, "net", "--opt vni=100 "+tt.flags)
			a, b := l.Hosts()[0], l.Hosts()[1]
			labtest.Sh(t, b, "podman run -d --name peer --network net localhost/web 2>/dev/null")
			addr := labtest.Field(t, b, "peer", "net", "IPAddress") + labtest.Field(t, b, "peer", "net", "GlobalIPv6Address")
			url := fmt.Sprintf(tt.url, addr)
			firstConnectionTime(t, a, url) // both agents run and know each other
			keepBusy(t)
			late := 0
			for range firstConnections() {
				if took := firstConnectionTime(t, a, url); took > lostQuestion {
					t.Logf("a first connection took %v", took)
					late++
				}
			}
			if late > 0 {
				t.Errorf("%d of %d first connections were late", late, firstConnections())
			}
		})
	}
}

// A start waits for an agent that is slow, but not for one that does not come back.
func TestFirstContainerWaitsForASlowAgent(t *testing.T) {
	l := startLab(t, 2)
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	a, b := l.Hosts()[0], l.Hosts()[1]
	runWebServer(t, b, "peer", "--network net")
	addr := labtest.Address(t, b, "peer", "net")
	firstConnectionTime(t, a, addr)
	pause := func(seconds string) {
		labtest.Sh(t, b, labtest.FreezeAgent+"; (sleep "+seconds+"; "+labtest.ThawAgent+") >/dev/null 2>&1 &")
	}
	pause("0.4")
	if took := firstConnectionTime(t, a, addr); took > lostQuestion {
		t.Errorf("the first connection took %v", took)
	}
	pause("3")
	began := time.Now()
	labtest.Sh(t, a, "podman run --rm --network net localhost/busybox true")
	if took := time.Since(began); took > 2500*time.Millisecond {
		t.Errorf("a start waited %v for an agent that does not answer", took)
	}
}
