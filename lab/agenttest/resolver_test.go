package agenttest

import (
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab/labtest"
)

// On an internal network containers' names resolve, and nothing else.
func TestInternalNetworkResolvesOnlyItsNames(t *testing.T) {
	l := startLab(t, 2)
	labtest.CreateNetwork(t, l, "net", "--internal --opt vni=100 --subnet 10.0.0.0/24 --subnet fd00:10::/64")
	a, b := l.Hosts()[0], l.Hosts()[1]
	startUpstreamDNS(t, l.Host("outside"))
	labtest.Sh(t, a, "echo nameserver 198.18.0.200 > /etc/resolv.conf")
	runWebServer(t, a, "ca", "--network net")
	runWebServer(t, b, "cb", "--network net")
	labtest.Within(t, time.Second, a, "podman exec ca ping -c1 -W1 cb")
	labtest.Sh(t, a, "podman exec ca ping -6 -c1 -W1 cb")
	if out := labtest.Refused(t, a, "podman exec ca nslookup www.example.test"); !strings.Contains(out, "NXDOMAIN") {
		t.Errorf("an outside name: %s", out)
	}
}

// Other names go to the host's name servers, or the network's own.
func TestOtherNamesAreForwardedUpstream(t *testing.T) {
	l := startLab(t, 2)
	startUpstreamDNS(t, l.Host("outside"))
	a := l.Hosts()[0]
	labtest.Sh(t, a, "echo nameserver 198.18.0.200 > /etc/resolv.conf")
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	runWebServer(t, a, "c", "--network net")
	if out := labtest.Sh(t, a, "podman exec c nslookup www.example.test"); !strings.Contains(out, "192.0.2.7") {
		t.Errorf("got %s", out)
	}
	// A network's name server cannot be queried from another network, nor from the underlay.
	labtest.CreateNetwork(t, l, "other", "--opt vni=101 --subnet 10.0.1.0/24")
	runWebServer(t, a, "x", "--network other")
	labtest.Refused(t, a, "podman exec x timeout 3 nslookup c.dns.podman 10.0.0.1")
	outside := l.Host("outside")
	labtest.Sh(t, outside, "ip route add 10.0.0.0/24 via 198.18.0.11")
	labtest.Refused(t, outside, "timeout 3 busybox nslookup c.dns.podman 10.0.0.1")
	labtest.Sh(t, a, "podman exec c nslookup c.dns.podman 10.0.0.1")

	labtest.CreateNetwork(t, l, "own", "--dns 198.18.0.200 --opt vni=102 --subnet 10.0.2.0/24")
	labtest.Sh(t, a, ": > /etc/resolv.conf")
	runWebServer(t, a, "o", "--network own")
	if out := labtest.Sh(t, a, "podman exec o nslookup www.example.test"); !strings.Contains(out, "192.0.2.7") {
		t.Errorf("got %s", out)
	}
}

// Names resolve even if port 53 is in use, or containers.conf names another.
func TestDNSOnAnotherPortThan53(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	labtest.Sh(t, a, `sed -i 's/^\[network\]/[network]\ndns_bind_port = 5300/' /etc/containers/containers.conf`)
	labtest.Sh(t, b, "busybox nc -l -p 53 </dev/null >/dev/null 2>&1 & busybox nc -u -l -p 53 </dev/null >/dev/null 2>&1 & sleep 0.2")
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24 --subnet fd00:10::/64")
	runWebServer(t, a, "ca", "--network net")
	runWebServer(t, b, "cb", "--network net")
	labtest.Within(t, time.Second, a, "podman exec ca ping -c1 -W1 cb")
	labtest.Within(t, time.Second, b, "podman exec cb ping -c1 -W1 ca")
	labtest.Sh(t, a, "podman exec ca nslookup cb.dns.podman fd00:10::1; nft list ruleset > /tmp/r; nft -c -f /tmp/r")
	labtest.Sh(t, a, "podman rm -f -t0 ca; ! nft list table inet vxlan-driver 2>/dev/null")
}

// Without vxland installed, a container starts with the host's name servers and a warning that says
// why names do not work.
func TestContainersStartWithWarningWithoutAgentProgram(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	a := l.Hosts()[0]
	labtest.Sh(t, a, "rm /usr/local/bin/vxland; echo nameserver 198.18.0.200 > /etc/resolv.conf")
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	out := labtest.Sh(t, a, "exec 2>&1; podman run -d --name c --network net localhost/web")
	if strings.Count(out, "\n") != 1 || !strings.Contains(out, "vxlan: network net: no container names, only the host's name servers: start vxland: it is not installed") {
		t.Errorf("podman says %s", out)
	}
	if got := labtest.Sh(t, a, "podman exec c cat /etc/resolv.conf"); !strings.Contains(got, "198.18.0.200") {
		t.Errorf("resolv.conf: %s", got)
	}
	// An agent that exits at once, and one that hangs, delay the start by at most two seconds.
	for program, want := range map[string]string{
		"#!/bin/sh\necho broken >&2; exit 3\n": "it ended at once: exit status 3; see /run/vxlan/vxland.log",
		"#!/bin/sh\nexec sleep 60\n":           "it does not answer within 2s; see /run/vxlan/vxland.log",
	} {
		if err := a.WriteFile("/usr/local/bin/vxland", []byte(program), 0o755); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		out := labtest.Sh(t, a, "exec 2>&1; podman run --rm --network net localhost/busybox true")
		if took := time.Since(began); took > 10*time.Second || !strings.Contains(out, want) {
			t.Errorf("after %v podman says %s", took, out)
		}
	}
}

// A container that starts while the agent does not answer has names as soon as it does, and other
// hosts stay known meanwhile.
func TestContainerStartedBesideSlowAgentGetsNames(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	runWebServer(t, a, "ca", "--network net")
	runWebServer(t, b, "cb", "--network net")
	labtest.Within(t, 2*time.Second, a, "podman exec ca ping -c1 -W1 cb")
	fdb := "bridge fdb show dev vxlan-net | sort"
	before := labtest.Sh(t, a, fdb)
	labtest.Sh(t, a, labtest.FreezeAgent)
	out := labtest.Sh(t, a, "exec 2>&1; podman run -d --name late --network net localhost/web")
	if !strings.Contains(out, "no container names yet: vxland is slow") {
		t.Errorf("podman says %s", out)
	}
	if after := labtest.Sh(t, a, fdb); after != before {
		t.Errorf("forwarding changed from\n%s\nto\n%s", before, after)
	}
	labtest.Sh(t, a, labtest.ThawAgent)
	labtest.Within(t, 2*time.Second, a, "podman exec late ping -c1 -W1 cb")
	labtest.Within(t, 2*time.Second, b, "podman exec cb ping -c1 -W1 late")
}

// New name servers of the host, or of a network, count for containers that run.
func TestNewNameServersCountAtOnce(t *testing.T) {
	l := startLab(t, 2)
	startUpstreamDNS(t, l.Host("outside"))
	a := l.Hosts()[0]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	labtest.Sh(t, a, "mkdir -p /run/resolve; echo > /run/resolve/stub; ln -sf /run/resolve/stub /etc/resolv.conf")
	runWebServer(t, a, "c", "--network net")
	if out := labtest.Refused(t, a, "podman exec c nslookup www.example.test"); !strings.Contains(out, "SERVFAIL") {
		t.Errorf("without a name server: %s", out)
	}
	labtest.Sh(t, a, "echo nameserver 198.18.0.200 > /run/resolve/new; mv /run/resolve/new /run/resolve/stub")
	labtest.Within(t, time.Second, a, "podman exec c nslookup www.example.test")
	labtest.Sh(t, a, "echo > /run/resolve/stub")
	labtest.Within(t, time.Second, a, "! podman exec c nslookup www.example.test")
	labtest.Sh(t, a, "podman network update --dns-add 198.18.0.200 net")
	labtest.Within(t, time.Second, a, "podman exec c nslookup www.example.test")
	labtest.Sh(t, a, "podman network update --dns-drop 198.18.0.200 net")
	labtest.Within(t, time.Second, a, "! podman exec c nslookup www.example.test")
}

// A container on an internal network has names outside by another network, the other being of this
// driver or not.
func TestContainerOnInternalNetworkHasNamesOutsideByAnother(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	startUpstreamDNS(t, l.Host("outside"))
	a := l.Hosts()[0]
	labtest.Sh(t, a, "echo nameserver 198.18.0.200 > /etc/resolv.conf")
	labtest.CreateNetwork(t, l, "inside", "--internal --opt vni=100 --subnet 10.0.0.0/24")
	labtest.CreateNetwork(t, l, "out", "--opt vni=101 --subnet 10.0.1.0/24")
	labtest.Sh(t, a, "podman network create plain")
	for i, networks := range []string{"inside,out", "out,inside", "inside,podman", "inside,plain", "plain,inside"} {
		name := string(rune('a' + i))
		runWebServer(t, a, name, "--network "+networks)
		for range 3 {
			if out := labtest.Sh(t, a, "podman exec "+name+" nslookup www.example.test || true"); !strings.Contains(out, "192.0.2.7") {
				t.Errorf("on %s: %s", networks, out)
			}
		}
	}
	runWebServer(t, a, "z", "--network inside")
	labtest.Refused(t, a, "podman exec z nslookup www.example.test")
}
