package agenttest

import (
	"fmt"
	"testing"
	"time"

	"vxlan-driver/lab/labtest"
)

// pastDevice is a script that succeeds if a container's packets to another host, and the answers, are not
// seen by the network's VXLAN device.
func pastDevice(container, network, addr string) string {
	return fmt.Sprintf(`seen() { cat /sys/class/net/vxlan-%[2]s/statistics/[rt]x_packets; }
		talk() { podman exec %[1]s sh -c 'for i in 1 2 3 4 5; do wget -qO- http://%[3]s/ || exit; done' >/dev/null; }
		talk; before=$(seen); talk; test "$before" = "$(seen)"`, container, network, addr)
}

// eBPF programs take packets past the VXLAN device, with port security and without. They go on without
// an agent, and with the last container all of them go.
func TestProgramsTakePackets(t *testing.T) {
	t.Parallel()
	if !labtest.UsesPrograms() {
		t.Skip("VXLAN_EBPF=false")
	}
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24 --subnet fd00:1::/64")
	labtest.CreateNetwork(t, l, "secure", "--opt vni=300 --opt port_security=true --subnet 10.2.0.0/24")
	for _, n := range []string{"net", "secure"} {
		for _, h := range l.Hosts() {
			runWebServer(t, h, n, "--network "+n)
		}
	}
	wantPast := func(within time.Duration) {
		t.Helper()
		for _, n := range []string{"net", "secure"} {
			labtest.Within(t, within, a, pastDevice(n, n, labtest.Address(t, b, n, n)))
			labtest.Within(t, within, b, pastDevice(n, n, labtest.Address(t, a, n, n)))
		}
	}
	wantPast(5 * time.Second)
	labtest.Sh(t, b, "pkill -9 -x vxland-keeper; pkill -9 -x vxland")
	labtest.Within(t, time.Second, b, "! pgrep -x vxland")
	wantPast(time.Second)
	labtest.Sh(t, b, "podman restart -t0 net secure") // starts an agent
	wantPast(5 * time.Second)
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, "podman rm -f -t0 net secure")
		// The kernel itself has two files there.
		if left := labtest.Sh(t, h, "find /sys/fs/bpf -mindepth 1 ! -name '*.debug'"); left != "" {
			t.Errorf("%s is left with\n%s", h.Name(), left)
		}
	}
}
