package agenttest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

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

// A host's first container on a network reaches other hosts at once, also while the machine is
// busy: its start returns when they can answer it. An ARP question that is lost costs a second.
func TestFirstContainerOfBusyHostConnectsAtOnce(t *testing.T) {
	for name, flags := range map[string]string{
		"IPv4":   "--subnet 10.0.0.0/24",
		"IPv6":   "--subnet fd00:10::/64",
		"gossip": "--subnet 10.0.0.0/24 --opt discovery=gossip",
	} {
		t.Run(name, func(t *testing.T) {
			l := startLab(t, 2)
			labtest.CreateNetwork(t, l, "net", "--opt vni=100 "+flags)
			a, b := l.Hosts()[0], l.Hosts()[1]
			labtest.Sh(t, b, "podman run -d --name peer --network net localhost/web 2>/dev/null")
			field := "IPAddress"
			if name == "IPv6" {
				field = "GlobalIPv6Address"
			}
			addr := labtest.Field(t, b, "peer", "net", field)
			if strings.Contains(addr, ":") {
				addr = "[" + addr + "]"
			}
			// Both agents run and know each other.
			labtest.Sh(t, a, "podman run --rm --network net localhost/busybox true")
			keepBusy(t)
			slow := 0
			for i := range firstConnections() {
				began := time.Now()
				out := labtest.Sh(t, a, fmt.Sprintf(`podman run --rm --network net localhost/busybox sh -c '
					read a _ </proc/uptime; wget -qO /dev/null http://%s/ || echo lost; read b _ </proc/uptime; echo $a $b'`, addr))
				var from, to float64
				if _, err := fmt.Sscan(out, &from, &to); err != nil {
					t.Errorf("%d: %s", i, out)
					slow++
				} else if to-from > 0.8 {
					t.Logf("%d: the connection took %.2f s, the run %v", i, to-from, time.Since(began))
					slow++
				}
			}
			if slow > 0 {
				t.Errorf("%d of %d first connections were late", slow, firstConnections())
			}
		})
	}
}
