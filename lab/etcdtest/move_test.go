package etcdtest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// movingNetwork is a network that moves to etcd and back.
type movingNetwork struct {
	name, from string // from is how its hosts find each other before
	vni        int
	options    string
}

var movingNetworks = []movingNetwork{
	{name: "found", from: "gossip", vni: 100},
	{name: "listed", from: "static", vni: 101},
	{name: "secret", from: "gossip", vni: 102, options: "--opt encryption=wireguard"},
}

// create is typed on each host.
func (n movingNetwork) create(l *lab.Lab) string {
	return fmt.Sprintf("podman network create --driver vxlan --opt discovery=%s --opt local_ip=auto "+
		"--opt physical_interface=eth0 --opt vni=%d --opt remote_ips=%s --subnet 10.0.%[2]d.0/24 %[4]s %[5]s",
		n.from, n.vni, labtest.VTEPs(l), n.options, n.name)
}

// Three hosts move three networks to etcd and back, one host after the other: from gossip, from a list of hosts, and
// one that is encrypted. Meanwhile containers ping each other a hundred times a second, connections stay open, an
// agent is killed, containers start and keys are replaced. Nothing is lost, no forwarding entry goes away even for a
// moment, no address is there twice, and no packet of the encrypted network is in plaintext.
func TestMoveToEtcdAndBack(t *testing.T) {
	l := startLab(t, 3)
	hosts := l.Hosts()
	for i, h := range hosts {
		for _, n := range movingNetworks {
			labtest.Sh(t, h, n.create(l))
		}
		startContainer(t, h, fmt.Sprint("c", i))
	}
	startFlows(t, hosts)
	watchForPlaintext(t, hosts)
	labtest.Each(t, movingNetworks, func(n movingNetwork) { wantMoveRefused(t, l, n) })

	moveToEtcd(t, hosts[0])
	labtest.Sh(t, hosts[0], "pkill -9 -x vxland")
	startContainer(t, hosts[1], "n1")
	startContainer(t, hosts[0], "n0")
	for _, n := range movingNetworks {
		wantReached(t, n, hosts[0], "n0", hosts[1], "n1")
		labtest.Within(t, 20*time.Second, hosts[0],
			fmt.Sprintf("vxlanctl status | grep '%s: moves from %s to etcd; missing is'", n.name, n.from))
		out := labtest.Refused(t, hosts[0], "vxlanctl network move --finish "+n.name)
		if !strings.Contains(out, "etcd does not reach") || !strings.Contains(out, hosts[2].Name()) {
			t.Errorf("%s: while hosts are missing: %s", n.name, out)
		}
	}
	moveToEtcd(t, hosts[1])
	labtest.Sh(t, hosts[1], "vxlanctl encryption rotate secret")
	startContainer(t, hosts[2], "n2") // the last one that has not moved
	moveToEtcd(t, hosts[2])
	finishAll(t, hosts, func(movingNetwork) string { return "etcd" })
	for _, h := range hosts {
		labtest.Within(t, 20*time.Second, h, "! ss -Hlun sport = 7947 | grep .") // nobody gossips
	}
	startContainer(t, hosts[2], "n3")
	startAfterTakenAddress(t, l, hosts[2], movingNetworks[1])
	for _, n := range movingNetworks {
		wantAddressesOnce(t, n, hosts)
		labtest.Sh(t, hosts[0], getDefinition(l, n))
	}

	for i, h := range hosts {
		labtest.Each(t, movingNetworks, func(n movingNetwork) { n.move(t, h, n.from) })
		if i == 1 {
			startContainer(t, hosts[0], "n4")
		}
	}
	finishAll(t, hosts, func(n movingNetwork) string { return n.from })
	labtest.Within(t, 20*time.Second, hosts[0], "! "+getFromEtcd(l, "--prefix /vxlan/v1/networks/")+" | grep .")
	for _, n := range movingNetworks {
		labtest.Refused(t, hosts[0], getDefinition(l, n))
		wantReached(t, n, hosts[2], "n3", hosts[0], "n4")
		wantAddressesOnce(t, n, hosts)
	}
	wantNewKeys(t, hosts)
	wantNothingLost(t, hosts)
}

// watchForPlaintext looks for packets of the encrypted network on the underlay. That it would see them it shows by
// another one's.
func watchForPlaintext(t *testing.T, hosts []*lab.Host) {
	t.Helper()
	const watch = "tcpdump -i eth0 -nn -l %s 'udp dst port 4789 and udp[12:4] & 0xffffff00 = %d'"
	for _, h := range hosts {
		labtest.Sh(t, h, "timeout 10 "+fmt.Sprintf(watch, "-c 1", movingNetworks[0].vni<<8))
		labtest.Sh(t, h, "setsid -f "+fmt.Sprintf(watch, "", movingNetworks[2].vni<<8)+
			" >/tmp/plaintext </dev/null 2>/tmp/watch")
		labtest.Within(t, 10*time.Second, h, "grep -q listening /tmp/watch")
	}
}

// wantNewKeys checks that the encrypted network has the next keys on all hosts, and nothing of it was in plaintext.
func wantNewKeys(t *testing.T, hosts []*lab.Host) {
	t.Helper()
	for _, h := range hosts {
		labtest.Within(t, 40*time.Second, h,
			`grep -q '"WireGuard":"wg1-secret"' /run/vxlan/networks/*/peers.json && ! ip link show wg0-secret`)
		if seen := labtest.Sh(t, h, "pkill -x tcpdump; head -3 /tmp/plaintext"); seen != "" {
			t.Errorf("%s: in plaintext:\n%s", h.Name(), seen)
		}
	}
}

// startContainer starts a container on all networks.
func startContainer(t *testing.T, h *lab.Host, name string) {
	t.Helper()
	var networks string
	for _, n := range movingNetworks {
		networks += " --network " + n.name
	}
	labtest.Sh(t, h, "podman run -d --name "+name+networks+" localhost/web")
}

func (n movingNetwork) move(t *testing.T, h *lab.Host, to string) {
	t.Helper()
	labtest.Sh(t, h, "vxlanctl network move "+n.name+" "+to)
}

// moveToEtcd moves all networks of a host, all at once.
func moveToEtcd(t *testing.T, h *lab.Host) {
	t.Helper()
	labtest.Each(t, movingNetworks, func(n movingNetwork) { n.move(t, h, "etcd") })
}

// wantMoveRefused has etcd give an address of the first host's container to somebody else, which keeps the host
// where it is.
func wantMoveRefused(t *testing.T, l *lab.Lab, n movingNetwork) {
	t.Helper()
	h := l.Hosts()[0]
	taken := labtest.Address(t, h, "c0", n.name)
	labtest.Sh(t, h, giveAway(l, n, taken))
	out := labtest.Refused(t, h, "vxlanctl network move "+n.name+" etcd")
	if !strings.Contains(out, fmt.Sprintf("address %s of the network of VNI %d is that of container", taken, n.vni)) ||
		!strings.Contains(out, "it stays with "+n.from) {
		t.Errorf("%s: an address is another's: %s", n.name, out)
	}
	wantPlanes(t, h, n, n.from, "<no value>")
	labtest.Refused(t, h, getDefinition(l, n))
	labtest.Sh(t, h, etcdctl(l)+"del "+n.addressKey(taken))
}

// startAfterTakenAddress has etcd give the address that Podman picks next on a host to somebody else, as to a host that
// has no part of the subnet. The start fails and says so, and the next one gets the next address.
func startAfterTakenAddress(t *testing.T, l *lab.Lab, h *lab.Host, n movingNetwork) {
	t.Helper()
	next := netip.MustParseAddr(labtest.Address(t, h, "n3", n.name)).Next()
	labtest.Sh(t, h, giveAway(l, n, next.String()))
	start := "podman run -d --replace --name n5 --network " + n.name + " localhost/web"
	out := labtest.Refused(t, h, start)
	if !strings.Contains(out, fmt.Sprintf("address %v of network %s is in use", next, n.name)) ||
		!strings.Contains(out, "start it again") {
		t.Errorf("an address is another's: %s", out)
	}
	labtest.Sh(t, h, start)
	if got := labtest.Address(t, h, "n5", n.name); got != next.Next().String() {
		t.Errorf("the next container got %s, want %v", got, next.Next())
	}
	labtest.Sh(t, h, etcdctl(l)+"del "+n.addressKey(next.String()))
}

// etcdctl is the command for what etcd has.
func etcdctl(l *lab.Lab) string { return "ETCDCTL_API=3 etcdctl --endpoints " + endpoint(l) + " " }

// addressKey is where etcd has whose an address is.
func (n movingNetwork) addressKey(addr string) string {
	return fmt.Sprintf("/vxlan/v1/networks/%d-4789/addresses/%s", n.vni, addr)
}

// giveAway is the command by which etcd gives an address to a host that there is not.
func giveAway(l *lab.Lab, n movingNetwork, addr string) string {
	return etcdctl(l) + "put " + n.addressKey(addr) + ` '{"host": "00112233445566778899aabbccddeeff", "container": "feed"}'`
}

// getDefinition is the command that fails if etcd does not define the network.
func getDefinition(l *lab.Lab, n movingNetwork) string {
	return getFromEtcd(l, "--prefix /vxlan/v1/definitions/"+n.name) + " | grep ."
}

// wantPlanes checks what Podman says of the network.
func wantPlanes(t *testing.T, h *lab.Host, n movingNetwork, discovery, also string) {
	t.Helper()
	got := strings.TrimSpace(labtest.Sh(t, h, "podman network inspect --format '{{.Options.discovery}} "+
		"{{.Options.discovery_also}}' "+n.name))
	if want := discovery + " " + also; got != want {
		t.Errorf("%s: Podman has %q of network %s, want %q", h.Name(), got, n.name, want)
	}
}

// finishAll ends the moves on all hosts.
func finishAll(t *testing.T, hosts []*lab.Host, plane func(movingNetwork) string) {
	t.Helper()
	for _, h := range hosts {
		for _, n := range movingNetworks {
			labtest.Within(t, 20*time.Second, h, "vxlanctl network move --finish "+n.name)
			wantPlanes(t, h, n, plane(n), "<no value>")
		}
	}
}

// wantReached checks that a container reaches another one by a network.
func wantReached(t *testing.T, n movingNetwork, from *lab.Host, name string, to *lab.Host, peer string) {
	t.Helper()
	labtest.Within(t, 20*time.Second, from,
		fmt.Sprintf("podman exec %s ping -c1 -W1 %s", name, labtest.Address(t, to, peer, n.name)))
}

// wantAddressesOnce checks that each container has an address of its own.
func wantAddressesOnce(t *testing.T, n movingNetwork, hosts []*lab.Host) {
	t.Helper()
	var all []string
	for _, h := range hosts {
		out := labtest.Sh(t, h, "podman inspect --format '{{with .NetworkSettings.Networks."+n.name+
			"}}{{.IPAddress}}{{end}}' $(podman ps -q)")
		all = append(all, strings.Fields(out)...)
	}
	slices.Sort(all)
	if once := slices.Compact(slices.Clone(all)); len(once) != len(all) || len(once) < len(hosts) {
		t.Errorf("the addresses of network %s are %v", n.name, all)
	}
}

// startFlows makes each host's container ping that of the next host by each network, and one of them have lines
// sent back over one connection each. It notes each forwarding entry that goes away.
//
// It is the host's ping, in the container's network namespace: busybox's keeps some 20 packets only, also those that
// others wait for, and loses answers on a busy machine. /proc/net/raw counts them.
func startFlows(t *testing.T, hosts []*lab.Host) {
	t.Helper()
	labtest.Sh(t, hosts[1], "podman exec -d c1 nc -ll -p 9000 -e cat")
	for i, h := range hosts {
		next := (i + 1) % len(hosts)
		labtest.Sh(t, h, "setsid -f sh -c 'echo $$ >/tmp/monitor.pid; exec bridge monitor fdb' >/tmp/entries "+
			"</dev/null 2>/dev/null")
		for _, n := range movingNetworks {
			wantReached(t, n, h, fmt.Sprint("c", i), hosts[next], fmt.Sprint("c", next))
			peer := labtest.Address(t, hosts[next], fmt.Sprint("c", next), n.name)
			labtest.Sh(t, h, fmt.Sprintf("setsid -f nsenter -n -t $(podman inspect --format '{{.State.Pid}}' c%d) "+
				"ping -i 0.01 -W1 %s >/tmp/pings-%s </dev/null 2>/dev/null", i, peer, n.name))
			labtest.Within(t, 10*time.Second, h, "grep -q 'seq=10 ' /tmp/pings-"+n.name)
		}
	}
	for _, n := range movingNetworks {
		labtest.Sh(t, hosts[0], fmt.Sprintf(`podman exec -d c0 sh -c 'i=0; while [ ! -e /tmp/enough ]; do echo $i; `+
			`usleep 10000; i=$((i+1)); done | tee /tmp/sent-%[1]s | nc %[2]s 9000 >/tmp/back-%[1]s'`,
			n.name, labtest.Address(t, hosts[1], "c1", n.name)))
		labtest.Within(t, 10*time.Second, hosts[0], "podman exec c0 grep -q 10 /tmp/back-"+n.name)
	}
}

// wantNothingLost ends the flows.
func wantNothingLost(t *testing.T, hosts []*lab.Host) {
	t.Helper()
	labtest.Sh(t, hosts[0], "podman exec c0 touch /tmp/enough")
	for _, h := range hosts {
		labtest.Sh(t, h, "kill $(cat /tmp/monitor.pid); pkill -INT -x ping")
		// Entries by the device of the earlier keys are replaced.
		gone := labtest.Sh(t, h, "grep '^Deleted.* dst ' /tmp/entries | grep -v ' via wg0-secret ' || true")
		if gone != "" {
			t.Errorf("%s: entries went away:\n%s", h.Name(), gone)
		}
	}
	for _, n := range movingNetworks {
		labtest.Within(t, 10*time.Second, hosts[0], fmt.Sprintf("podman exec c0 cmp /tmp/sent-%[1]s /tmp/back-%[1]s", n.name))
		for _, h := range hosts {
			pings := "/tmp/pings-" + n.name
			labtest.Within(t, 10*time.Second, h, "grep -q 'packet loss' "+pings)
			t.Logf("%s, network %s: %s", h.Name(), n.name, labtest.Sh(t, h, "grep transmitted "+pings))
			// The signal can make ping print its last line twice.
			gaps := `awk -F'seq=' '/seq=/ { split($2, a, " "); if (n != "" && a[1] > n+1) print "after", n, "came", a[1]; ` +
				`n = a[1] }' ` + pings
			if lost := labtest.Sh(t, h, gaps); lost != "" {
				t.Errorf("%s: pings of network %s were lost:\n%s", h.Name(), n.name, lost)
			}
		}
	}
}
