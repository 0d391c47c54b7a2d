package drivertest

import (
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/lab/labtest"
)

// Fifty containers start at once on each of two hosts. No two have the same address, and nothing is
// left.
func TestFiftyContainersStartAtOnce(t *testing.T) {
	l := startLab(t, 2)
	createNetwork(t, l, "many", "--opt vni=9 --subnet 10.0.0.0/24", underlayAddr4)
	seen := map[string]string{}
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, "seq 50 | xargs -P 50 -I{} podman run -d --name c{} --network many localhost/web >/dev/null")
		out := labtest.Sh(t, h, `podman inspect -f '{{(index .NetworkSettings.Networks "many").IPAddress}}' $(podman ps -q)`)
		for addr := range strings.FieldsSeq(out) {
			if other, ok := seen[addr]; ok {
				t.Errorf("%s is on %s and %s", addr, other, h.Name())
			}
			seen[addr] = h.Name()
		}
	}
	if len(seen) != 100 {
		t.Errorf("%d addresses, want 100", len(seen))
	}
	a, b := l.Hosts()[0], l.Hosts()[1]
	for i := 1; i <= 50; i += 7 {
		labtest.Sh(t, a, fmt.Sprintf("podman exec c%d ping -c1 -W2 %s", i, containerAddr(t, b, fmt.Sprintf("c%d", 51-i), "many", "IPAddress")))
	}
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, "podman ps -q | xargs -P 50 -n 1 podman rm -f -t0 >/dev/null")
		if got := labtest.Leftovers(t, h); got != "" {
			t.Errorf("%s has left %s", h.Name(), got)
		}
	}
}

// After a reboot, containers start again on the network that Podman remembers.
func TestContainersStartAfterReboot(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	createNetwork(t, l, "net", "--opt vni=9 --subnet 10.0.0.0/24", underlayAddr4)
	runContainer(t, a, "c", "--network net")
	runContainer(t, b, "c", "--network net")
	if err := a.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := labtest.Leftovers(t, a); got != "" {
		t.Fatalf("a reboot kept %s", got)
	}
	labtest.Sh(t, a, "podman start c")
	checkReach(t, a, "c", b, "c", containerAddr(t, b, "c", "net", "IPAddress"))
	labtest.Sh(t, b, "podman restart -t0 c")
	checkReach(t, a, "c", b, "c", containerAddr(t, b, "c", "net", "IPAddress"))
}

// Podman reports that the plugin was killed, and the next start works.
func TestKilledPluginIsCompletedByNextRun(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	createNetwork(t, l, "net", "--opt vni=9 --subnet 10.0.0.0/24", underlayAddr4)
	runContainer(t, b, "c", "--network net")
	// A bridge without an alias, as a plugin leaves it that is killed between its first two
	// requests.
	labtest.Sh(t, a, "ip link add br-vxlan-net type bridge && ip link add vxlan-net type vxlan id 9 local 198.18.0.11 dev eth0 dstport 4789")
	runContainer(t, a, "c", "--network net")
	checkReach(t, a, "c", b, "c", containerAddr(t, b, "c", "net", "IPAddress"))
	// The container's processes are killed, and nobody calls the plugin.
	labtest.Sh(t, a, "ip netns list | cut -d' ' -f1 | while read ns; do ip -n $ns link del eth0; done")
	labtest.Sh(t, a, "podman rm -f -t0 c")
	if got := labtest.Leftovers(t, a); got != "" {
		t.Errorf("left %s", got)
	}
}

// Without an agent, the next container that starts repairs what was changed by hand.
func TestNextContainerRepairsDevices(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	createNetwork(t, l, "net", "--disable-dns --opt vni=9 --subnet 10.0.0.0/24", underlayAddr4)
	runContainer(t, a, "first", "--network net")
	runContainer(t, b, "c", "--network net")
	for i, alter := range []string{
		"ip link del vxlan-net && ip link add vxlan-net type vxlan id 99 local 198.18.0.11 dev eth0 dstport 4789",
		"bridge fdb del 00:00:00:00:00:00 dev vxlan-net dst 198.18.0.12; bridge fdb append 00:00:00:00:00:00 dev vxlan-net dst 198.18.0.77",
		"ip link set vxlan-net mtu 800; ip link set br-vxlan-net mtu 800",
		"ip link set vxlan-net down; ip link set br-vxlan-net down",
	} {
		labtest.Sh(t, a, alter)
		runContainer(t, a, fmt.Sprintf("next-%d", i), "--network net")
		checkReach(t, a, "first", b, "c", containerAddr(t, b, "c", "net", "IPAddress"))
		got := labtest.Sh(t, a, "ip -d link show vxlan-net; bridge fdb show dev vxlan-net | grep ^00:00")
		if !strings.Contains(got, "vxlan id 9 ") || !strings.Contains(got, "mtu 1450") || !strings.Contains(got, "dst 198.18.0.12") || strings.Contains(got, "198.18.0.77") {
			t.Errorf("%s: %s", alter, got)
		}
	}
}

// The documented example configuration, given to netavark itself.
func TestDocumentedConfigurationForNetavark(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	a := l.Hosts()[0]
	out := labtest.Sh(t, a, `
cat > /tmp/config.json <<'JSON'
{"container_id": "c1", "container_name": "one",
 "networks": {"vxlan-network": {"interface_name": "eth0", "static_ips": ["10.0.0.2"]}},
 "network_info": {"vxlan-network":
  {"name": "vxlan-network", "id": "0123456789abcdef", "driver": "vxlan", "network_interface": "br-vxlan-network",
   "options": {"vni": "100", "local_ip": "198.18.0.11", "remote_ips": "198.18.0.12,198.18.0.13",
               "physical_interface": "eth0", "vxlan_port": "4789"},
   "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}],
   "dns_enabled": true, "internal": false, "ipv6_enabled": false}}}
JSON
mkdir -p /tmp/run; ip netns add c1
netavark="/usr/lib/podman/netavark --config /tmp/run --plugin-directory /usr/local/libexec/netavark"
$netavark setup /run/netns/c1 < /tmp/config.json
ip link show br-vxlan-network; bridge fdb show dev vxlan-vxlan-network; ip -n c1 address show eth0
$netavark teardown /run/netns/c1 < /tmp/config.json
ip netns del c1`)
	for _, want := range []string{`"ipnet":"10.0.0.2/24"`, "altname br-vxlan-network", "dst 198.18.0.13 self permanent", "inet 10.0.0.2/24"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	if got := labtest.Leftovers(t, a); got != "" {
		t.Errorf("left %s", got)
	}
}
