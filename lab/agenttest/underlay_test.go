package agenttest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// followLimit is how soon the agent follows a change of the underlay.
const followLimit = 2 * time.Second

// makeUnderlayDevice gives a host a bridge und0 that has eth0 and its address, so that the underlay
// can be deleted and made again.
func makeUnderlayDevice(t *testing.T, h *lab.Host) {
	t.Helper()
	labtest.Sh(t, h, fmt.Sprintf(`ip address flush dev eth0; ip link add und0 type bridge; ip link set eth0 master und0
		ip link set und0 up; ip address add %s/24 dev und0`, h.Addr4()))
	labtest.Within(t, 5*time.Second, h, "ip -br link show und0 | grep -q ' UP '")
}

// startNamedAndPlain starts a container on each host on a network with names, and one on a network
// without.
func startNamedAndPlain(t *testing.T, l *lab.Lab, options string) {
	t.Helper()
	labtest.CreateNetwork(t, l, "named", "--opt vni=100 --subnet 10.0.0.0/24 "+options)
	labtest.CreateNetwork(t, l, "plain", "--disable-dns --opt vni=101 --subnet 10.1.0.0/24 "+options)
	for _, h := range l.Hosts() {
		for _, network := range []string{"named", "plain"} {
			runWebServer(t, h, network, "--network "+network)
		}
	}
}

// pingsOther is a script that succeeds if both containers reach those of the other host with
// packets of the size.
func pingsOther(t *testing.T, other *lab.Host, size int) string {
	t.Helper()
	var all []string
	for _, network := range []string{"named", "plain"} {
		all = append(all, fmt.Sprintf("podman exec %s ping -c 1 -W 1 -s %d %s >/dev/null", network, size, labtest.Address(t, other, network, network)))
	}
	return strings.Join(all, " && ")
}

// An underlay that is deleted takes the VXLAN devices with it. When it is made again, the agent
// brings them back with all their entries, on networks without names too.
func TestUnderlayDeletedAndMadeAgain(t *testing.T) {
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	a, b := l.Hosts()[0], l.Hosts()[1]
	makeUnderlayDevice(t, a)
	startNamedAndPlain(t, l, "--opt physical_interface=auto")
	macA, macB := containerMAC(t, a, "named"), containerMAC(t, b, "named")
	complete := fastPathToRemote("named", macB) + " && " + fastPathOfLocal("named", macA) + " && bridge fdb show dev vxlan-named | grep -q " + macB
	labtest.Within(t, 5*time.Second, a, complete)
	for range 2 {
		labtest.Sh(t, a, "ip link set eth0 nomaster; ip link delete und0")
		labtest.Within(t, followLimit, a, "! ip link show vxlan-named 2>/dev/null && vxlanctl status | grep -q VX0702")
		makeUnderlayDevice(t, a)
		took := labtest.Within(t, followLimit, a, complete+" && ip link show vxlan-plain")
		t.Logf("back after %v", took)
		labtest.Within(t, followLimit, a, pingsOther(t, b, 56))
	}
}

// The containers' own interfaces follow the underlay's MTU, down and up.
func TestContainersFollowUnderlayMTU(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	startNamedAndPlain(t, l, "")
	for _, mtu := range []int{1500, 1400, 1500} {
		for _, h := range l.Hosts() {
			labtest.Sh(t, h, fmt.Sprintf("ip link set eth0 mtu %d", mtu))
		}
		for _, h := range l.Hosts() {
			for _, network := range []string{"named", "plain"} {
				labtest.Within(t, followLimit, h, fmt.Sprintf("test $(podman exec %s cat /sys/class/net/eth0/mtu) = %d", network, mtu-50))
			}
		}
		labtest.Within(t, followLimit, a, pingsOther(t, b, mtu-50-28))
		labtest.Within(t, followLimit, b, pingsOther(t, a, mtu-50-28))
	}
}

// changeAddress replaces the host's address, as a DHCP client does.
func changeAddress(t *testing.T, h *lab.Host, from, to string) {
	t.Helper()
	labtest.Sh(t, h, fmt.Sprintf("ip address delete %s/24 dev eth0 && ip address add %s/24 dev eth0", from, to))
}

// A network whose address was left to the host follows a new address of the host, and says so. One
// whose address is fixed, or listed by the other hosts, says what to do.
func TestHostsAddressChanges(t *testing.T) {
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	a, b := l.Hosts()[0], l.Hosts()[1]
	for _, network := range []struct{ name, options string }{
		{"auto", "--opt vni=100 --opt local_ip=auto --opt remote_ips=" + b.Addr4().String() + " --subnet 10.0.0.0/24"},
		{"listed", "--opt vni=101 --opt local_ip=auto --opt remote_ips=" + labtest.VTEPs(l) + " --subnet 10.1.0.0/24"},
		{"fixed", fmt.Sprintf("--opt vni=102 --opt local_ip=%s --opt remote_ips=%s --subnet 10.2.0.0/24", a.Addr4(), b.Addr4())},
	} {
		labtest.Sh(t, a, fmt.Sprintf("podman network create --driver vxlan --opt physical_interface=auto --opt underlay_timeout=1 %s %s", network.options, network.name))
		runWebServer(t, a, network.name, "--network "+network.name)
	}
	const newAddr = "198.18.0.77"
	changeAddress(t, a, a.Addr4().String(), newAddr)
	labtest.Within(t, followLimit, a, "ip -d link show vxlan-auto | grep -q 'local "+newAddr+" dev eth0'")
	moved := fmt.Sprintf("network auto sends from %s by eth0 now, since %s by eth0 cannot be used any more; hosts whose remote_ips have %[2]s must list %[1]s instead", newAddr, a.Addr4())
	fixed := fmt.Sprintf("network fixed: option local_ip %q: is not an address of eth0, which has %s", a.Addr4(), newAddr)
	listed := fmt.Sprintf("network listed: option local_ip %q: the network sends from %s, which remote_ips lists, by eth0; that is gone, and is waited for; "+
		"if the host has another address for good, recreate the network", "auto", a.Addr4())
	labtest.Within(t, followLimit, a, "vxlanctl status | grep -q '"+newAddr+" by eth0'")
	status := labtest.Sh(t, a, "vxlanctl status")
	log := strings.ReplaceAll(labtest.Eventually(t, a, "grep -q 'not fully configured' /run/vxlan/vxland.log && cat /run/vxlan/vxland.log"), `\"`, `"`)
	for _, want := range []string{fixed, listed} {
		if !strings.Contains(status, want) || !strings.Contains(log, want) {
			t.Errorf("want %s\nstatus:\n%s\nlog:\n%s", want, status, log)
		}
	}
	if !strings.Contains(log, moved) {
		t.Errorf("want %s\nlog:\n%s", moved, log)
	}
	for network, want := range map[string]string{"fixed": fixed, "listed": listed} {
		if got := labtest.Refused(t, a, "podman run --rm --network "+network+" localhost/web true"); !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %s", got, want)
		}
	}

	// All is as before when the address is back.
	changeAddress(t, a, newAddr, a.Addr4().String())
	labtest.Within(t, followLimit, a, "ip -d link show vxlan-auto | grep -q 'local "+a.Addr4().String()+" dev eth0' && ! vxlanctl status | grep -q VX0702")
}
