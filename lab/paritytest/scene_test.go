package paritytest

import (
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// Addresses of the lab's underlay.
const (
	hostA4, hostA6     = "198.18.0.11", "fd00:198:18::11"
	outside4, outside6 = "198.18.0.200", "fd00:198:18::200"
)

// scene is a lab whose networks have one driver.
type scene struct {
	*testing.T
	lab    *lab.Lab
	a, b   *lab.Host // b is nil if there is one host
	driver string
}

// onBoth runs a test with Podman's bridge driver, which shows that the test is right, and with
// vxlan. Both have a lab of their own, and run at once.
func onBoth(t *testing.T, hosts int, test func(s *scene)) {
	for _, driver := range []string{"bridge", "vxlan"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			test(newScene(t, driver, hosts))
		})
	}
}

// newScene starts a lab with a host outside on which "outside" answers on TCP and UDP port 7000.
func newScene(t *testing.T, driver string, hosts int, binaries ...string) *scene {
	t.Helper()
	config := lab.Config{Hosts: hosts, Outside: true, Binaries: append(binaries, labtest.Tool(t, "peer"))}
	s := &scene{T: t, lab: labtest.Start(t, config), driver: driver}
	s.a, s.b = s.lab.Host("host-a"), s.lab.Host("host-b")
	s.mustRun(s.lab.Host("outside"), "mkdir -p /run/peer; setsid -f peer serve outside tcp/7000 udp/7000 >/dev/null 2>&1;"+awaitPeer("outside"))
	return s
}

// awaitPeer is the script that waits until a server listens.
func awaitPeer(name string) string {
	return fmt.Sprintf("for i in $(seq 1000); do [ -e /run/peer/%[1]s ] && break; sleep 0.01; done; [ -e /run/peer/%[1]s ]", name)
}

// withT returns the scene for a subtest.
func (s *scene) withT(t *testing.T) *scene {
	inner := *s
	inner.T = t
	return &inner
}

// runSubtest is testing.T.Run on the same lab.
func (s *scene) runSubtest(name string, test func(s *scene)) {
	s.T.Run(name, func(t *testing.T) { test(s.withT(t)) })
}

// mustRun runs a script on a host that must succeed.
func (s *scene) mustRun(h *lab.Host, script string) string {
	s.Helper()
	out, err := h.Sh(s.Context(), script)
	if err != nil {
		s.Fatal(err)
	}
	return out
}

// mustFail runs a script that must fail, and returns what it printed.
func (s *scene) mustFail(h *lab.Host, script string) string {
	s.Helper()
	out, err := h.Sh(s.Context(), "exec 2>&1; "+script)
	if err == nil {
		s.Fatalf("%s on %s succeeded: %s", script, h.Name(), out)
	}
	return out
}

// createNetwork creates a network of the scene's driver: a bridge on host-a, a vxlan network on all
// hosts.
func (s *scene) createNetwork(name, flags string) {
	s.Helper()
	s.createNetworkOf(s.driver, name, flags)
}

func (s *scene) createNetworkOf(driver, name, flags string) {
	s.Helper()
	if driver == "bridge" {
		// Without the name server, which takes seconds to stop; but an internal bridge has a
		// gateway only for its sake.
		if !strings.Contains(flags, "--internal") {
			flags += " --disable-dns"
		}
		s.mustRun(s.a, "podman network create "+flags+" "+name)
		return
	}
	for _, h := range s.lab.Hosts() {
		s.mustRun(h, fmt.Sprintf("podman network create --driver vxlan %s %s %s", s.vxlanOptions(name), flags, name))
	}
}

// vxlanOptions are the options that every vxlan network needs, the same on all hosts. The VNI comes
// from the name.
func (s *scene) vxlanOptions(name string) string {
	addrs := []string{"198.18.0.99"} // a single host has a remote one too, that is down
	for _, h := range s.lab.Hosts() {
		addrs = append(addrs, h.Addr4().String())
	}
	vni := 0
	for _, c := range name {
		vni = (vni*131 + int(c)) % 0xffffff
	}
	return fmt.Sprintf("--opt vni=%d --opt local_ip=auto --opt physical_interface=eth0 --opt remote_ips=%s", vni+1, strings.Join(addrs, ","))
}

// bridgeOf returns the name of a network's bridge.
func (s *scene) bridgeOf(network string) string {
	s.Helper()
	if s.driver == "vxlan" {
		return "br-vxlan-" + network
	}
	return s.mustRun(s.a, "podman network inspect -f '{{.NetworkInterface}}' "+network)
}

// runPeer starts a container that answers on port 80 by TCP, UDP and SCTP, and on the given ports.
func (s *scene) runPeer(h *lab.Host, name, flags string, more ...string) {
	s.Helper()
	s.mustRun(h, fmt.Sprintf("mkdir -p /run/peer; rm -f /run/peer/%[1]s; podman run -d --name %[1]s %[2]s -v /run/peer:/run/peer "+
		"-v /usr/local/bin/peer:/bin/peer localhost/busybox peer serve %[1]s tcp/80 udp/80 sctp/80 %[3]s; %[4]s",
		name, flags, strings.Join(more, " "), awaitPeer(name)))
}

// removeContainers removes containers of host-a.
func (s *scene) removeContainers(names ...string) {
	s.Helper()
	s.mustRun(s.a, "podman rm -f -t0 "+strings.Join(names, " "))
}

// execInContainer is the prefix of a host's command that runs it in a container's network
// namespace.
func execInContainer(container string) string {
	return "nsenter -n -t $(podman inspect -f '{{.State.Pid}}' " + container + ") "
}
