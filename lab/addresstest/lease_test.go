package addresstest

import (
	"strings"
	"testing"

	"vxlan-driver/lab/labtest"
)

// podman network inspect shows each host's slice, and containers get their addresses from it.
func TestHostsShareSubnetWithoutOverlap(t *testing.T) {
	l := startLab(t, 3)
	labtest.CreateOn(t, l.Hosts(), "net", "--opt vni=9 "+dual)
	want := []string{
		"10.1.0.2-10.1.0.62 fd00:1::2-fd00:1::3fff:ffff:ffff:fffe ",
		"10.1.0.64-10.1.0.126 fd00:1:0:0:4000::-fd00:1::7fff:ffff:ffff:fffe ",
		"10.1.0.128-10.1.0.190 fd00:1:0:0:8000::-fd00:1::bfff:ffff:ffff:fffe ",
	}
	for i, h := range l.Hosts() {
		if got := leaseRange(t, h); got != want[i] {
			t.Errorf("%s hands out %q, want %q", h.Name(), got, want[i])
		}
	}
	a, b, c := l.Hosts()[0], l.Hosts()[1], l.Hosts()[2]
	runContainer(t, b, "first", "--network net")
	if got := containerAddr4(t, b, "first"); got != "10.1.0.64" {
		t.Errorf("the first container of host-b has %s", got)
	}
	// A static address may be any free one: of the last quarter, which no host has, or of another
	// host's slice.
	runContainer(t, a, "nobodys", "--network net --ip 10.1.0.250 --ip6 fd00:1::ffff")
	runContainer(t, c, "anothers", "--network net --ip 10.1.0.100")
	pingAll(t, b, "first", "10.1.0.250", "fd00:1::ffff", "10.1.0.100")
	pingAll(t, a, "nobodys", "10.1.0.64", "10.1.0.100")
}

// --ip-range replaces the slice; its last address is the host's own.
func TestIPRangeReplacesHostsSlice(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	const create = "podman network create --driver vxlan --opt vni=9 --opt local_ip=auto --opt remote_ips=198.18.0.11,198.18.0.12 --opt physical_interface=eth0 --subnet 10.1.0.0/24 "
	// Podman itself leaves out the first of a range that is given as a subnet.
	labtest.Sh(t, a, create+"--ip-range 10.1.0.16/29 net")
	labtest.Sh(t, b, create+"--ip-range 10.1.0.200-10.1.0.203 net")
	for i, want := range []string{"10.1.0.17-10.1.0.22 ", "10.1.0.200-10.1.0.202 "} {
		if got := leaseRange(t, l.Hosts()[i]); got != want {
			t.Errorf("%s hands out %q, want %q", l.Hosts()[i].Name(), got, want)
		}
	}
	for _, name := range []string{"one", "two", "three"} {
		runContainer(t, b, name, "--network net")
	}
	runContainer(t, a, "one", "--network net")
	if v4, _ := hostOwnAddrs(t, b); v4.String() != "10.1.0.203" {
		t.Errorf("host-b's own address is %s", v4)
	}
	if v4, _ := hostOwnAddrs(t, a); v4.String() != "10.1.0.23" {
		t.Errorf("host-a's own address is %s", v4)
	}
	pingAll(t, a, "one", containerAddr4(t, b, "three"), "10.1.0.203", "10.1.0.23")
	if got := labtest.Refused(t, b, "podman run --rm --network net localhost/busybox true"); !strings.Contains(got, "10.1.0.200") {
		t.Errorf("a fourth container is refused with %s", got)
	}
}

func TestCreateRefusesSubnetTooSmallToDivide(t *testing.T) {
	l := startLab(t, 1)
	a := l.Hosts()[0]
	const create = "podman network create --driver vxlan --opt vni=9 --opt local_ip=auto --opt physical_interface=eth0 --opt remote_ips=198.18.0.11,198.18.0.12,198.18.0.13 "
	for flags, smallest := range map[string]string{
		"--subnet 10.1.0.0/29":                      "each of 3 hosts addresses of its own; the smallest that works is a /28",
		"--subnet 10.1.0.0/28 --opt max_hosts=64":   "each of 64 hosts addresses of its own; the smallest that works is a /24",
		"--subnet fd00:1::/125 --opt vxlan_port=99": "the smallest that works is a /124",
	} {
		if got := labtest.Refused(t, a, create+flags+" net"); !strings.Contains(got, smallest) {
			t.Errorf("%s: refused with %s, want %q", flags, got, smallest)
		}
	}
	labtest.Sh(t, a, create+"--subnet 10.1.0.0/28 net")
	runContainer(t, a, "c", "--network net")
}
