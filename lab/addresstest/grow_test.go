package addresstest

import (
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// To add a host, the network is created anew on each host with the longer list. With max_hosts the
// old hosts keep their slices, and so their containers keep their addresses.
func TestAddedHostLeavesSlicesWithMaxHosts(t *testing.T) {
	l := startLab(t, 2)
	flags := "--opt vni=9 --opt max_hosts=8 --subnet 10.1.0.0/24"
	labtest.CreateOn(t, l.Hosts(), "net", flags)
	parts := [4]string{"10.1.0.2-10.1.0.30 ", "10.1.0.32-10.1.0.62 ", "10.1.0.64-10.1.0.94 "}
	createOnMoreHosts(t, l, flags, parts[:2], parts[:3])
	// A container with a fixed address still has it, and reaches the one on the new host.
	a, c := l.Host("host-a"), l.Host("host-c")
	if got := containerAddr4(t, a, "c"); got != "10.1.0.2" {
		t.Errorf("host-a's container has %s now", got)
	}
	pingAll(t, a, "c", containerAddr4(t, l.Host("host-b"), "c"), containerAddr4(t, c, "c"))
	pingAll(t, c, "c", containerAddr4(t, a, "c"), containerAddr4(t, l.Host("host-b"), "c"))
}

// Without max_hosts a third host makes four slices of two, and the second host's slice moves.
func TestAddedHostMovesSlicesWithoutMaxHosts(t *testing.T) {
	l := startLab(t, 2)
	flags := "--opt vni=9 --subnet 10.1.0.0/24"
	labtest.CreateOn(t, l.Hosts(), "net", flags)
	createOnMoreHosts(t, l, flags, []string{"10.1.0.2-10.1.0.126 ", "10.1.0.128-10.1.0.253 "},
		[]string{"10.1.0.2-10.1.0.62 ", "10.1.0.64-10.1.0.126 ", "10.1.0.128-10.1.0.190 "})
	for _, from := range l.Hosts() {
		for _, to := range l.Hosts() {
			pingAll(t, from, "c", containerAddr4(t, to, "c"))
		}
	}
}

// createOnMoreHosts starts a container on each host, adds a host, and creates the network anew with
// the longer list.
func createOnMoreHosts(t *testing.T, l *lab.Lab, flags string, before, after []string) {
	t.Helper()
	for i, h := range l.Hosts() {
		runContainer(t, h, "c", "--network net")
		if got := leaseRange(t, h); got != before[i] {
			t.Errorf("%s hands out %q before, want %q", h.Name(), got, before[i])
		}
	}
	if _, err := l.AddHost(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, h := range l.Hosts()[:2] {
		labtest.Sh(t, h, "podman rm -f -t0 c; podman network rm net")
	}
	labtest.CreateOn(t, l.Hosts(), "net", flags)
	for i, h := range l.Hosts() {
		runContainer(t, h, "c", "--network net")
		if got := leaseRange(t, h); got != after[i] {
			t.Errorf("%s hands out %q after, want %q", h.Name(), got, after[i])
		}
	}
}
