package lifetest

import (
	"os"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// startNetworkd starts systemd-networkd with a file that matches all interfaces but the underlay.
// It sees a /sys that cannot be written to, so it does not wait for udevd, which no lab host has.
func startNetworkd(t *testing.T, h *lab.Host) {
	t.Helper()
	labtest.Sh(t, h, `mkdir -p /etc/systemd/network /run/systemd/netif && chown systemd-network: /run/systemd/netif
		printf '[Match]\nName=eth0 lo\n[Link]\nUnmanaged=yes\n' >/etc/systemd/network/01-underlay.network
		printf '[Match]\nName=*\n[Link]\nMTUBytes=1300\n[Network]\nDHCP=yes\n' >/etc/systemd/network/20-all.network
		setsid -f unshare -m sh -c 'mount -o remount,bind,ro /sys && exec env container=lab /usr/lib/systemd/systemd-networkd' >/run/networkd.log 2>&1`)
	labtest.Eventually(t, h, "grep -l ADMIN_STATE=unmanaged /run/systemd/netif/links/*")
}

// The installed file makes systemd-networkd leave the devices alone, whatever other files match.
// Without it, networkd changes the MTU, asks for addresses, and has taken ports off the bridge.
func TestNetworkdLeavesDevicesAlone(t *testing.T) {
	t.Parallel()
	const file = "05-vxlan-driver.network"
	installed, err := os.ReadFile("../../packaging/networkd/" + file)
	if err != nil {
		t.Fatal(err)
	}
	l := labtest.Start(t, lab.Config{Hosts: 2})
	a, b := l.Host("host-a"), l.Host("host-b")
	if err := a.WriteFile("/usr/local/lib/systemd/network/"+file, installed, 0o644); err != nil {
		t.Fatal(err)
	}
	startNetworkd(t, a)
	startNetworkd(t, b)
	labtest.CreateNetwork(t, l, "net", "--disable-dns --opt vni=100 --subnet 10.0.0.0/24")
	for _, h := range []*lab.Host{a, b} {
		labtest.Sh(t, h, "podman run -d --name web --network net localhost/web")
	}
	// It has read the file, and this test proves something.
	labtest.Eventually(t, b, "ip link show vxlan-net | grep -q 'mtu 1300'")
	for _, device := range []string{"br-vxlan-net", "vxlan-net", "$(ip -o link show type veth | grep -o 'veth[0-9a-f]*')"} {
		labtest.Eventually(t, a, "grep -l ADMIN_STATE=unmanaged /run/systemd/netif/links/$(cat /sys/class/net/"+device+"/ifindex)")
	}
	if got := labtest.Sh(t, a, "ip -o link show master br-vxlan-net"); strings.Count(got, "mtu 1450") != 2 {
		t.Errorf("the bridge's ports are\n%s", got)
	}
}
