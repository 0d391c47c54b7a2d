package drivertest

import (
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// addNATInterface gives a host an interface nat0 with its default route, as virtual machines of
// Vagrant have.
func addNATInterface(t *testing.T, h *lab.Host) {
	t.Helper()
	labtest.Sh(t, h, `ip link add nat0 type veth peer name nat1 && ip address add 10.0.2.15/24 dev nat0 &&
		ip link set nat1 up && ip link set nat0 up && ip route replace default via 10.0.2.2 dev nat0`)
}

// The documented command with a list, the same on all hosts, works where the default route is another interface's.
func TestAutoOnHostsWithAnotherDefaultRoute(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	a, b := l.Hosts()[0], l.Hosts()[1]
	const create = "podman network create --driver vxlan --opt local_ip=auto --opt physical_interface=auto "
	for _, h := range l.Hosts() {
		addNATInterface(t, h)
		labtest.Sh(t, h, create+"--opt vni=9 --opt remote_ips=198.18.0.11,198.18.0.12 --subnet 10.1.0.0/24 net")
		runContainer(t, h, "web", "--network net")
		if got := labtest.Sh(t, h, "ip -d link show vxlan-net"); !strings.Contains(got, "local "+h.Addr4().String()+" dev eth0") {
			t.Errorf("%s sends from elsewhere:\n%s", h.Name(), got)
		}
	}
	addr := containerAddr(t, b, "web", "net", "IPAddress")
	if own := containerAddr(t, a, "web", "net", "IPAddress"); own == addr {
		t.Errorf("both containers have %s", addr)
	}
	labtest.Sh(t, a, "podman exec web ping -c 1 -W 5 "+addr)

	// What auto found stays while the default route moves.
	labtest.Sh(t, a, create+"--opt vni=10 --opt remote_ips=203.0.113.9 --opt mtu=1400 --ip-range 10.2.0.0/25 --subnet 10.2.0.0/24 far")
	runContainer(t, a, "one", "--network far")
	labtest.Sh(t, a, "ip route replace default via 198.18.0.1 dev eth0")
	runContainer(t, a, "two", "--network far")
	labtest.Sh(t, a, "vxlanctl reload")
	if got := labtest.Sh(t, a, "ip -d link show vxlan-far"); !strings.Contains(got, "local 10.0.2.15 dev nat0") {
		t.Errorf("the network moved with the default route:\n%s", got)
	}
	labtest.Sh(t, a, "ip link del nat0")
	// Either finds out first, the agent or the tool.
	if got := labtest.Sh(t, a, "vxlanctl reload 2>&1; cat /run/vxlan/vxland.log"); !strings.Contains(got, "network far sends from 198.18.0.11 by eth0 now") {
		t.Errorf("nothing is said of the move: %s", got)
	}
	if got := labtest.Sh(t, a, "ip -d link show vxlan-far"); !strings.Contains(got, "local 198.18.0.11 dev eth0") {
		t.Errorf("the network stays on an interface that is gone:\n%s", got)
	}
}

// What a user must know at create, and what create refuses for the host's sake.
func TestCreateLooksAtTheHost(t *testing.T) {
	t.Parallel()
	l := startLab(t, 1)
	a := l.Hosts()[0]
	addNATInterface(t, a)
	labtest.Sh(t, a, "ip route add 10.8.0.0/16 dev nat0; ip route add 203.0.113.0/24 dev nat0")
	const create = "podman network create --driver vxlan --opt vni=9 --opt local_ip=auto --opt physical_interface=auto "
	for _, tt := range []struct{ command, want string }{
		{create + "--opt remote_ips=198.18.0.11,198.18.0.12 --subnet 10.8.1.0/24 x", "overlaps 10.8.0.0/16, a route by interface nat0; choose another subnet, or allow it with --opt allow_host_overlap=true"},
		{create + "--opt remote_ips=198.18.0.11,198.18.0.12 --subnet 10.0.2.0/28 x", "overlaps 10.0.2.0/24, the network of interface nat0"},
		{create + "--opt remote_ips=198.18.0.11,203.0.113.9 --subnet 10.1.0.0/24 x", `option remote_ips "203.0.113.9": is reached by nat0, and there is no route to it by eth0`},
		{create + "--opt remote_ips=198.18.0.12,203.0.113.9 --subnet 10.1.0.0/24 x", "198.18.0.12 is reached by eth0, but 203.0.113.9 by nat0"},
		{create + "--opt remote_ips=203.0.113.9,203.0.113.10 --subnet 10.1.0.0/24 x", "behind NAT it cannot tell which of them is its own"},
		{create + "--opt remote_ips=198.18.0.11,host-b --subnet 10.1.0.0/24 x", `entry 2, "host-b", is a name; names are not accepted`},
		{create + "--opt remote_ips=198.18.0.12 --opt outbound_addr4=192.0.2.1 --subnet 10.1.0.0/24 x", "no interface of this host has this address"},
		{create + "--opt remote_ips=198.18.0.12 --subnet 127.9.0.0/24 x", "which are loopback"},
	} {
		if got := labtest.Refused(t, a, tt.command); !strings.Contains(got, tt.want) {
			t.Errorf("got\n%s\nwant %s", got, tt.want)
		}
	}
	labtest.Sh(t, a, create+"--opt allow_host_overlap=true --opt remote_ips=198.18.0.11,198.18.0.12 --subnet 10.8.1.0/24 x && podman network rm x")
	if got := labtest.Sh(t, a, create+"--opt remote_ips=198.18.0.12,198.18.0.13 --subnet 10.1.0.0/24 net 2>&1"); !strings.Contains(got, "none of the addresses in remote_ips is this host's") {
		t.Errorf("create does not say that this host is not listed: %s", got)
	}
}

// At boot, containers of several networks start before the underlay has its address. They wait for
// it, and do not take the default route's interface. Without it they fail in one line.
func TestStartsWaitForTheUnderlay(t *testing.T) {
	t.Parallel()
	l := startLab(t, 1)
	a := l.Hosts()[0]
	addNATInterface(t, a)
	for i, options := range []string{"", "--opt discovery=gossip --disable-dns", "--disable-dns --opt underlay_timeout=1"} {
		labtest.Sh(t, a, fmt.Sprintf("podman network create --driver vxlan --opt local_ip=auto --opt physical_interface=auto --opt vni=%[1]d %[2]s "+
			"--opt remote_ips=198.18.0.11,198.18.0.12 --subnet 10.%[1]d.0.0/24 net%[1]d && podman create --name c%[1]d --network net%[1]d localhost/web", i+1, options))
	}
	labtest.Sh(t, a, "ip address delete 198.18.0.11/24 dev eth0")
	if got := labtest.Refused(t, a, "podman start c3"); !strings.Contains(got, "network net3: option remote_ips") || !strings.Contains(got, "not there after 1 s (underlay_timeout)") {
		t.Errorf("the error is %s", got)
	}
	labtest.Sh(t, a, `podman start c1 & one=$!; podman start c2 & two=$!
		sleep 1; ip -d link show type vxlan; ip address add 198.18.0.11/24 dev eth0; wait $one; wait $two`)
	labtest.Sh(t, a, "podman start c3")
	for _, network := range []string{"net1", "net2", "net3"} {
		if got := labtest.Sh(t, a, "ip -d link show vxlan-"+network); !strings.Contains(got, "local 198.18.0.11 dev eth0") {
			t.Errorf("%s sends from elsewhere:\n%s", network, got)
		}
	}
}
