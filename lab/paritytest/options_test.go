package paritytest

import (
	"strings"
	"testing"
)

// The host's end of a veth may have a name of the user's, of one container at a time.
func TestHostInterfaceName(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(s *scene) {
		s.createNetwork("net", "--subnet 10.9.0.0/24")
		s.runPeer(s.a, "c", "--network net:host_interface_name=veth-web")
		if got := s.mustRun(s.a, "ip -br link show veth-web type veth"); !strings.Contains(got, "UP") {
			s.Errorf("veth-web: %s", got)
		}
		s.checkAnswers(question{"host-a", "tcp/10.9.0.2:80", "c:80"})
		got := s.mustFail(s.a, "podman run --rm --network net:host_interface_name=veth-web localhost/busybox true")
		if !strings.Contains(got, "veth-web") {
			s.Errorf("the error does not name it: %s", got)
		}
		s.checkAnswers(question{"host-a", "tcp/10.9.0.2:80", "c:80"}) // the one that has it keeps it
		s.mustRun(s.a, "podman restart -t0 c && ip link show veth-web")
		s.mustFail(s.a, "podman run --rm --network net:host_interface_name=a-name-of-sixteen localhost/busybox true")
		s.removeContainers("c")
		if s.driver == "vxlan" {
			s.checkNothingLeft()
		}
	})
}

// vrf puts the bridge into a VRF. A kernel without VRFs refuses clearly, as does the name of
// something else.
func TestVRF(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1)
	network := func(name, vrf string) string {
		return "podman network create --driver vxlan " + s.vxlanOptions(name) + " --opt vrf=" + vrf + " --subnet 10.9.0.0/24 " + name +
			" && podman run -d --name " + name + " --network " + name + " localhost/web"
	}
	for _, vrf := range []string{"red", "eth0"} {
		got := s.mustFail(s.a, network(vrf, vrf))
		if !strings.Contains(got, "vrf") || !strings.Contains(got, vrf) {
			t.Errorf("the error names neither vrf nor %s: %s", vrf, got)
		}
		s.mustRun(s.a, "podman rm -f -t0 -i "+vrf+"; podman network rm -f "+vrf)
	}
	s.checkNothingLeft()
	// Probed by making one: the kernel that runs decides.
	if out, err := s.a.Sh(t.Context(), "ip link add red type vrf table 10"); err != nil {
		t.Skipf("this kernel has no VRF: %s %v", out, err)
	}
	s.mustRun(s.a, "ip link set red up; "+network("in", "red"))
	if got := s.mustRun(s.a, "ip -d link show br-vxlan-in"); !strings.Contains(got, "master red") {
		t.Errorf("the bridge is not in the VRF: %s", got)
	}
}
