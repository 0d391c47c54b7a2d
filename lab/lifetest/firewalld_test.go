package lifetest

import (
	"os"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// startFirewalld starts the system bus and firewalld, as systemd does on a real host, and lets
// VXLAN packets of other hosts in, as an administrator has to.
func startFirewalld(t *testing.T, h *lab.Host) {
	t.Helper()
	labtest.Sh(t, h, `mkdir -p /run/dbus && dbus-daemon --system --fork
		setsid -f firewalld --nofork --nopid >/run/firewalld.log 2>&1`)
	labtest.Eventually(t, h, "firewall-cmd --state")
	labtest.Sh(t, h, "firewall-cmd --permanent --add-port=4789/udp && firewall-cmd --add-port=4789/udp")
}

// firewalldZone returns firewalld's zone of an interface, "" if it has none.
func firewalldZone(t *testing.T, h *lab.Host, device string) string {
	t.Helper()
	out := labtest.Sh(t, h, "firewall-cmd --get-zone-of-interface="+device+" 2>&1 || true")
	if strings.Contains(out, "no zone") {
		return ""
	}
	return out
}

// The bridge is in firewalld's trusted zone as long as it exists. Otherwise firewalld rejects what
// is forwarded for containers, and with br_netfilter what they send to each other.
func TestFirewalldTrustsTheBridge(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 2, Outside: true, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	a, b, outside := l.Host("host-a"), l.Host("host-b"), l.Host("outside")
	startFirewalld(t, a)
	// Without DNS there is no agent, which would restore the zone before vxlanctl does.
	labtest.CreateNetwork(t, l, "net", "--disable-dns --opt vni=100 --subnet 10.0.0.0/24")
	labtest.Sh(t, b, "podman run -d --name peer --network net localhost/web")
	peer := labtest.Address(t, b, "peer", "net")
	if got := firewalldZone(t, a, "br-vxlan-net"); got != "" {
		t.Errorf("before the first container: zone %q", got)
	}
	labtest.Sh(t, a, `podman run -d --name web --network net:ip=10.0.0.50 -p 8080:80 localhost/web
		podman run -d --name second --network net localhost/web`)
	works := func(when string) {
		t.Helper()
		if got := firewalldZone(t, a, "br-vxlan-net"); got != "trusted" {
			t.Errorf("%s: zone %q, want trusted", when, got)
		}
		labtest.Page(t, a, "web", peer)
		labtest.Page(t, b, "peer", "10.0.0.50")
		labtest.Page(t, a, "second", "10.0.0.50")
		labtest.Page(t, a, "second", "10.0.0.1:8080")
		labtest.Sh(t, a, "podman exec web ping -c1 -W2 "+outside.Addr4().String())
		labtest.Sh(t, outside, "curl -sS --max-time 2 http://"+a.Addr4().String()+":8080/")
		labtest.Sh(t, a, "curl -sS --max-time 2 http://127.0.0.1:8080/")
	}
	works("with two containers")

	labtest.Sh(t, a, "firewall-cmd --reload")
	if got := firewalldZone(t, a, "br-vxlan-net"); got != "" {
		t.Errorf("firewalld kept the zone %q over a reload: this test proves nothing any more", got)
	}
	labtest.Sh(t, a, "vxlanctl reload")
	works("after a reload")
	labtest.Sh(t, a, "podman rm -f -t0 second")
	if got := firewalldZone(t, a, "br-vxlan-net"); got != "trusted" {
		t.Errorf("after the first of two containers has gone: zone %q, want trusted", got)
	}
	labtest.Sh(t, a, "podman rm -f -t0 web")
	if got := labtest.Sh(t, a, "firewall-cmd --zone=trusted --list-interfaces"); strings.TrimSpace(got) != "" {
		t.Errorf("after the last container: the trusted zone has %q", got)
	}
	checkNothingLeft(t, a)
}

// Where an agent runs, no vxlanctl reload is needed after firewall-cmd --reload.
func TestAgentTrustsTheBridgeAgain(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 1})
	a := l.Host("host-a")
	startFirewalld(t, a)
	labtest.Sh(t, a, "podman network create --driver vxlan --opt vni=100 --opt local_ip=auto --opt remote_ips=198.18.0.99 --opt physical_interface=eth0 --subnet 10.0.0.0/24 net")
	labtest.Sh(t, a, "podman run -d --name web --network net localhost/web; podman run -d --name second --network net localhost/web")
	for range 2 {
		labtest.Sh(t, a, "firewall-cmd --reload")
		labtest.Eventually(t, a, "test \"$(firewall-cmd --get-zone-of-interface=br-vxlan-net)\" = trusted")
		labtest.Sh(t, a, "podman exec web wget -qO- -T2 http://second.dns.podman/")
	}
	labtest.Sh(t, a, "podman rm -f -t0 web second")
	checkNothingLeft(t, a)
}

// firewalld may start and stop while containers run.
func TestContainersSurviveFirewalldStartAndStop(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 1, Outside: true, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	a, outside := l.Host("host-a"), l.Host("outside")
	labtest.Sh(t, a, "podman network create --driver vxlan --opt vni=100 --opt local_ip=auto --opt remote_ips=198.18.0.99 --opt physical_interface=eth0 --subnet 10.0.0.0/24 net")
	labtest.Sh(t, a, "podman run -d --name web --network net -p 8080:80 localhost/web")
	startFirewalld(t, a)
	labtest.Sh(t, a, "vxlanctl reload")
	if got := firewalldZone(t, a, "br-vxlan-net"); got != "trusted" {
		t.Errorf("after firewalld's start and a reload: zone %q, want trusted", got)
	}
	labtest.Sh(t, a, "podman exec web ping -c1 -W2 "+outside.Addr4().String())
	// When it stops it removes its own table, and nothing of ours.
	labtest.Sh(t, a, "kill $(pgrep -x firewalld)")
	labtest.Eventually(t, a, "! firewall-cmd --state 2>/dev/null")
	labtest.Sh(t, outside, "curl -sS --max-time 2 http://"+a.Addr4().String()+":8080/")
	labtest.Sh(t, a, "podman rm -f -t0 web")
	checkNothingLeft(t, a)
}

// The service that is installed opens the ports, by the commands of the page about installing.
func TestFirewalldService(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 1})
	a := l.Host("host-a")
	startFirewalld(t, a)
	labtest.Sh(t, a, "firewall-cmd --permanent --remove-port=4789/udp")
	service, err := os.ReadFile("../../packaging/firewalld/podman-vxlan.xml")
	if err == nil {
		err = a.WriteFile("/usr/lib/firewalld/services/podman-vxlan.xml", service, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	labtest.Sh(t, a, "firewall-cmd --reload && firewall-cmd --permanent --add-service=podman-vxlan && firewall-cmd --reload")
	rules := labtest.Sh(t, a, "nft list table inet firewalld")
	for _, want := range []string{"udp dport 4789 accept", "udp dport 7947 accept", "tcp dport 7947 accept", "tcp dport 7949 accept"} {
		if !strings.Contains(rules, want) {
			t.Errorf("firewalld has no rule %q", want)
		}
	}
}
