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

// createBefore is typed on each host, with the way hosts are found before the move, and the hosts' addresses.
const createBefore = "podman network create --driver vxlan --opt discovery=%s --opt local_ip=auto " +
	"--opt physical_interface=eth0 --opt vni=100 --opt remote_ips=%s --subnet 10.0.0.0/24 net"

// Three hosts move from gossip, or a list of hosts, to etcd and back, one after the other. Meanwhile they ping each
// other a hundred times a second, a connection stays open, an agent is killed and containers start. Nothing is
// lost, no forwarding entry goes away even for a moment, and no address is there twice.
func TestMoveToEtcdAndBack(t *testing.T) {
	for _, from := range []string{"gossip", "static"} {
		t.Run(from, func(t *testing.T) { moveToEtcdAndBack(t, from) })
	}
}

func moveToEtcdAndBack(t *testing.T, from string) {
	l := startLab(t, 3)
	hosts := l.Hosts()
	for i, h := range hosts {
		labtest.Sh(t, h, fmt.Sprintf(createBefore, from, labtest.VTEPs(l)))
		labtest.Sh(t, h, fmt.Sprintf("podman run -d --name c%d --network net localhost/web", i))
	}
	startFlows(t, hosts)
	move := func(h *lab.Host, to string) { labtest.Sh(t, h, "vxlanctl network move net "+to) }

	// An address that etcd gives to somebody else keeps the host where it is.
	taken := labtest.Address(t, hosts[0], "c0", "net")
	key := "/vxlan/v1/networks/100-4789/addresses/" + taken
	labtest.Sh(t, hosts[0], etcdctl(l)+"put "+key+` '{"host": "00112233445566778899aabbccddeeff", "container": "feed"}'`)
	out := labtest.Refused(t, hosts[0], "vxlanctl network move net etcd")
	if !strings.Contains(out, "address "+taken+" of the network of VNI 100 is that of container") ||
		!strings.Contains(out, "it stays with "+from) {
		t.Errorf("an address is another's: %s", out)
	}
	wantPlanes(t, hosts[0], from, "<no value>")
	definitions := getFromEtcd(l, "--prefix /vxlan/v1/definitions/") + " | grep ."
	labtest.Refused(t, hosts[0], definitions)
	labtest.Sh(t, hosts[0], etcdctl(l)+"del "+key)

	move(hosts[0], "etcd")
	labtest.Sh(t, hosts[0], "pkill -9 -x vxland")
	labtest.Sh(t, hosts[1], "podman run -d --name n1 --network net localhost/web")
	labtest.Sh(t, hosts[0], "podman run -d --name n0 --network net localhost/web")
	labtest.Within(t, 20*time.Second, hosts[0], "podman exec n0 ping -c1 -W1 n1")
	labtest.Within(t, 20*time.Second, hosts[0], "vxlanctl status | grep 'moves from "+from+" to etcd; missing is'")
	out = labtest.Refused(t, hosts[0], "vxlanctl network move net --finish")
	if !strings.Contains(out, "etcd does not reach") || !strings.Contains(out, hosts[2].Name()) {
		t.Errorf("while hosts are missing: %s", out)
	}
	move(hosts[1], "etcd")
	labtest.Sh(t, hosts[2], "podman run -d --name n2 --network net localhost/web") // the last one on gossip alone
	move(hosts[2], "etcd")
	finishAll(t, hosts, "etcd")
	for _, h := range hosts {
		labtest.Within(t, 20*time.Second, h, "! ss -Hlun sport = 7947 | grep .") // nobody gossips
	}
	labtest.Sh(t, hosts[2], "podman run -d --name n3 --network net localhost/web")
	if from == "static" {
		startAfterTakenAddress(t, l, hosts[2])
	}
	wantAddressesOnce(t, hosts)
	labtest.Sh(t, hosts[0], definitions)

	for i, h := range hosts {
		move(h, from)
		if i == 1 {
			labtest.Sh(t, hosts[0], "podman run -d --name n4 --network net localhost/web")
		}
	}
	finishAll(t, hosts, from)
	labtest.Within(t, 20*time.Second, hosts[0], "! "+getFromEtcd(l, "--prefix /vxlan/v1/networks/")+" | grep .")
	labtest.Refused(t, hosts[0], definitions)
	labtest.Within(t, 20*time.Second, hosts[2], "podman exec n3 ping -c1 -W1 n4")
	wantAddressesOnce(t, hosts)
	wantNothingLost(t, hosts)
}

// startAfterTakenAddress has etcd give the address that Podman picks next on a host to somebody else, as to a host that
// has no part of the subnet. The start fails and says so, and the next one gets the next address.
func startAfterTakenAddress(t *testing.T, l *lab.Lab, h *lab.Host) {
	t.Helper()
	next := netip.MustParseAddr(labtest.Address(t, h, "n3", "net")).Next()
	key := "/vxlan/v1/networks/100-4789/addresses/" + next.String()
	labtest.Sh(t, h, etcdctl(l)+"put "+key+` '{"host": "00112233445566778899aabbccddeeff", "container": "feed"}'`)
	start := "podman run -d --replace --name n5 --network net localhost/web"
	out := labtest.Refused(t, h, start)
	if !strings.Contains(out, "address "+next.String()+" of network net is in use") || !strings.Contains(out, "start it again") {
		t.Errorf("an address is another's: %s", out)
	}
	labtest.Sh(t, h, start)
	if got := labtest.Address(t, h, "n5", "net"); got != next.Next().String() {
		t.Errorf("the next container got %s, want %v", got, next.Next())
	}
	labtest.Sh(t, h, etcdctl(l)+"del "+key)
}

// etcdctl is the command for what etcd has.
func etcdctl(l *lab.Lab) string { return "ETCDCTL_API=3 etcdctl --endpoints " + endpoint(l) + " " }

// wantPlanes checks what Podman says of the network.
func wantPlanes(t *testing.T, h *lab.Host, discovery, also string) {
	t.Helper()
	got := strings.TrimSpace(labtest.Sh(t, h, "podman network inspect net --format '{{.Options.discovery}} "+
		"{{.Options.discovery_also}}'"))
	if want := discovery + " " + also; got != want {
		t.Errorf("%s: Podman has %q, want %q", h.Name(), got, want)
	}
}

// finishAll ends a move on all hosts.
func finishAll(t *testing.T, hosts []*lab.Host, plane string) {
	t.Helper()
	for _, h := range hosts {
		labtest.Within(t, 20*time.Second, h, "vxlanctl network move net --finish")
		wantPlanes(t, h, plane, "<no value>")
	}
}

// wantAddressesOnce checks that each container has an address of its own.
func wantAddressesOnce(t *testing.T, hosts []*lab.Host) {
	t.Helper()
	var all []string
	for _, h := range hosts {
		out := labtest.Sh(t, h, "podman inspect --format '{{.NetworkSettings.Networks.net.IPAddress}}' $(podman ps -q)")
		all = append(all, strings.Fields(out)...)
	}
	slices.Sort(all)
	if once := slices.Compact(slices.Clone(all)); len(once) != len(all) || len(once) < len(hosts) {
		t.Errorf("the addresses are %v", all)
	}
}

// startFlows makes each host's container ping that of the next host, and one of them have lines sent back
// over one connection. It notes each forwarding entry that goes away.
func startFlows(t *testing.T, hosts []*lab.Host) {
	t.Helper()
	labtest.Sh(t, hosts[1], "podman exec -d c1 nc -ll -p 9000 -e cat")
	for i, h := range hosts {
		next := (i + 1) % len(hosts)
		labtest.Within(t, 10*time.Second, h, fmt.Sprintf("podman exec c%d ping -c1 -W1 c%d", i, next))
		peer := labtest.Address(t, hosts[next], fmt.Sprint("c", next), "net")
		labtest.Sh(t, h, fmt.Sprintf("{ setsid -f podman exec c%d ping -i 0.01 -W1 %s >/tmp/pings; "+
			"setsid -f sh -c 'echo $$ >/tmp/monitor.pid; exec bridge monitor fdb' >/tmp/entries; } "+
			"</dev/null >/dev/null 2>&1", i, peer))
		labtest.Within(t, 10*time.Second, h, "grep -q 'seq=10 ' /tmp/pings")
	}
	labtest.Sh(t, hosts[0], `podman exec -d c0 sh -c 'i=0; while [ ! -e /tmp/enough ]; do echo $i; usleep 10000; `+
		`i=$((i+1)); done | tee /tmp/sent | nc `+labtest.Address(t, hosts[1], "c1", "net")+` 9000 >/tmp/back'`)
	labtest.Within(t, 10*time.Second, hosts[0], "podman exec c0 grep -q 10 /tmp/back")
}

// wantNothingLost ends the flows.
func wantNothingLost(t *testing.T, hosts []*lab.Host) {
	t.Helper()
	labtest.Sh(t, hosts[0], "podman exec c0 touch /tmp/enough")
	labtest.Within(t, 10*time.Second, hosts[0], "podman exec c0 cmp /tmp/sent /tmp/back")
	for _, h := range hosts {
		labtest.Sh(t, h, "kill $(cat /tmp/monitor.pid); pkill -INT -x ping")
		labtest.Within(t, 10*time.Second, h, "grep -q 'packet loss' /tmp/pings")
		t.Logf("%s: %s", h.Name(), labtest.Sh(t, h, "grep transmitted /tmp/pings"))
		// The signal can make ping print its last line twice.
		gaps := `awk -F'seq=' '/seq=/ { split($2, a, " "); if (n != "" && a[1] > n+1) print "after", n, "came", a[1]; n ` +
			`= a[1] }' /tmp/pings`
		if lost := labtest.Sh(t, h, gaps); lost != "" {
			t.Errorf("%s: pings were lost:\n%s", h.Name(), lost)
		}
		if gone := labtest.Sh(t, h, "grep '^Deleted.* dst ' /tmp/entries || true"); gone != "" {
			t.Errorf("%s: entries went away:\n%s", h.Name(), gone)
		}
	}
}
