package agenttest

import (
	"testing"
	"time"

	"vxlan-driver/lab/labtest"
)

// A process that is stuck holds the store's lock, and a turn waits for it. An agent that is told to
// end does so at once all the same.
func TestAgentEndsWhileLockIsHeld(t *testing.T) {
	t.Parallel()
	h := startLab(t, 1).Hosts()[0]
	labtest.Sh(t, h, "podman network create --driver vxlan --opt vni=100 --opt local_ip=auto --opt remote_ips=198.18.0.99,"+h.Addr4().String()+
		" --opt physical_interface=eth0 --subnet 10.0.0.0/24 net")
	runWebServer(t, h, "c", "--network net")
	labtest.Sh(t, h, `flock /run/vxlan/lock -c 'echo $$ >/run/holder; exec sleep 100' >/dev/null 2>&1 &
		while ! [ -s /run/holder ]; do sleep 0.02; done
		ip link set vxlan-net down`) // which the agent mends in a turn
	labtest.Within(t, 5*time.Second, h, "grep -q ' -> FLOCK .* '$(pgrep -x vxland)' ' /proc/locks")
	began := time.Now()
	labtest.Sh(t, h, "p=$(pgrep -x vxland); kill $p; while kill -0 $p 2>/dev/null; do sleep 0.02; done")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	labtest.Sh(t, h, "kill $(cat /run/holder)")
}
