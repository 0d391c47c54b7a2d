package agenttest

import (
	"testing"
	"time"

	"vxlan-driver/lab/labtest"
)

// The agent makes a container announce its addresses. So a neighbour that knows the MAC of the
// container that had the address before reaches the new one at once, not when its ARP entry
// expires.
func TestReusedAddressWithNewMACIsReachedAtOnce(t *testing.T) {
	h := startLab(t, 1).Hosts()[0]
	labtest.Sh(t, h, "podman network create --driver vxlan --opt vni=100 --opt local_ip=auto --opt physical_interface=eth0 --opt remote_ips=198.18.0.250 --subnet 10.0.0.0/24 net")
	runWebServer(t, h, "peer", "--network net")
	const ping = "podman exec peer ping -c1 -W1 10.0.0.9"
	for _, mac := range []string{"02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"} {
		runWebServer(t, h, "c", "--network net:ip=10.0.0.9,mac="+mac)
		labtest.Within(t, time.Second, h, ping)
		labtest.Within(t, time.Second, h, arpNotifySet("c"))
		labtest.Sh(t, h, "podman rm -f -t0 c")
	}
	labtest.Sh(t, h, "! grep 'not announced' /run/vxlan/vxland.log")
}
