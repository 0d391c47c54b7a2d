package doctortest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// firewalldFaults are made by a firewalld that runs on host-b, and that lets the tunnel pass.
var firewalldFaults = []fault{
	{name: "port closed", inject: "firewall-cmd --remove-port=4789/udp", code: "VX0502", says: "VXLAN"},
	{name: "rich rule drops", inject: "firewall-cmd --add-rich-rule='rule family=ipv4 port port=4789 protocol=udp drop'", code: "VX0502", says: "VXLAN"},
	{name: "zone of the other host", inject: "firewall-cmd --zone=block --add-source=198.18.0.11", code: "VX0502", says: "VXLAN",
		after: "firewall-cmd --zone=block --remove-source=198.18.0.11"},
	{name: "zone of the underlay", inject: "firewall-cmd --zone=drop --change-interface=eth0", code: "VX0502", says: "VXLAN"},
	{name: "panic", inject: "firewall-cmd --panic-on", code: "VX0507", says: "panic mode"},
	{name: "reloaded", inject: "firewall-cmd --reload; firewall-cmd --add-port=4789/udp", code: "VX0504", says: "trusted"},
}

// managerFaults are programs that configure all devices. Nothing keeps them away from the driver's.
var managerFaults = []fault{
	{name: "systemd-networkd", inject: networkd + `
		until ip link show vxlan-plain | grep -q 'mtu 1300'; do sleep 0.05; done`, code: "VX0412", says: "systemd-networkd manages"},
	{name: "rule of a VPN", inject: `ip link add wg0 type veth peer name wg1; ip link set wg0 up; ip link set wg1 up; ip address add 192.0.2.1/24 dev wg0
		ip route add default dev wg0 table 77; ip rule add to 198.18.0.0/24 lookup 77 pref 100`, code: "VX0203", says: "leave by wg0"},
}

// networkd is a script that starts systemd-networkd with a file that matches all devices. With a /sys
// that cannot be written to it does not wait for udevd.
const networkd = `mkdir -p /etc/systemd/network /run/systemd/netif && chown systemd-network: /run/systemd/netif
	printf '[Match]\nName=eth0 lo\n[Link]\nUnmanaged=yes\n' >/etc/systemd/network/01-underlay.network
	printf '[Match]\nName=*\n[Link]\nMTUBytes=1300\n[Network]\nDHCP=yes\n' >/etc/systemd/network/20-all.network
	setsid -f unshare -m sh -c 'mount -o remount,bind,ro /sys && exec env container=lab /usr/lib/systemd/systemd-networkd' >/run/networkd.log 2>&1`

// networkManager is a script that starts NetworkManager and has it ask for an address by DHCP.
const networkManager = `setsid -f unshare -m sh -c 'mount -o remount,bind,ro /sys && exec NetworkManager --no-daemon' >/run/nm.log 2>&1
	until nmcli -t general status >/dev/null 2>&1; do sleep 0.05; done
	nmcli connection add type bridge ifname br-vxlan-plain con-name oops ipv4.method auto bridge.stp no
	nmcli --wait 1 connection up oops || true
	until ! ip address show br-vxlan-plain | grep -q 10.1.0.1/; do sleep 0.05; done`

// installable are faults of programs that a host has only after they are installed.
var installable = []struct {
	packages string
	fault
}{
	{"network-manager", fault{name: "NetworkManager", inject: networkManager, code: "VX0412", says: "NetworkManager manages"}},
	{"ufw iptables", fault{name: "ufw", inject: "ufw default allow routed; ufw --force enable", code: "VX0502", says: "VXLAN"}},
}

// Other programs' faults are named, and what is printed mends them.
func TestFaultsByPrograms(t *testing.T) {
	if os.Getenv("FAULTS") != "all" {
		t.Skip("make faults tries them: they install packages, and take minutes")
	}
	l := startStatic(t)
	b := l.Host("host-b")
	labtest.Sh(t, b, `mkdir -p /run/dbus && dbus-daemon --system --fork`)
	for _, f := range managerFaults {
		t.Run(f.name, func(t *testing.T) { tryFault(t, l, f) })
	}
	labtest.Sh(t, b, "pkill -f ^/usr/lib/systemd/systemd-networkd || true; rm -rf /run/systemd/netif; ip link delete wg0 2>/dev/null || true; ip rule delete pref 100 2>/dev/null || true")
	for _, f := range installable {
		t.Run(f.name, func(t *testing.T) {
			install(t, b, f.packages)
			tryFault(t, l, f.fault)
		})
	}
	labtest.Sh(t, b, "ufw disable; pkill -x NetworkManager || true")
	labtest.Sh(t, b, `setsid -f firewalld --nofork --nopid >/run/firewalld.log 2>&1`)
	labtest.Eventually(t, b, "firewall-cmd --state")
	labtest.Sh(t, b, "firewall-cmd --permanent --add-port=4789/udp; firewall-cmd --add-port=4789/udp; vxlanctl reload")
	for _, f := range firewalldFaults {
		t.Run("firewalld: "+f.name, func(t *testing.T) { tryFault(t, l, f) })
	}
}

// install installs Debian's packages on a host, from the mirror of this machine: the host's own
// network leads nowhere.
func install(t *testing.T, h *lab.Host, packages string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(SITE)").Output()
	if err != nil {
		t.Fatal(err)
	}
	mirror := ""
	for line := range strings.Lines(string(out)) {
		if site, ok := strings.CutPrefix(strings.TrimSpace(line), "Debian|Debian|"); ok && mirror == "" {
			mirror = site
		}
	}
	script := `cp /etc/resolv.conf /tmp/resolv.conf; cp /etc/hosts /tmp/hosts
		printf %s "$3" >/etc/resolv.conf; printf %s "$4" >/etc/hosts
		[ -z "$1" ] || sed -i "s|^deb [^ ]*|deb $1|" /etc/apt/sources.list
		apt-get -qq -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false update
		DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $2 >/dev/null
		cat /tmp/resolv.conf >/etc/resolv.conf; cat /tmp/hosts >/etc/hosts`
	machine := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	inHost := exec.CommandContext(t.Context(), "nsenter", "-m", "-t", fmt.Sprint(h.PID()), "sh", "-ec", script,
		"sh", mirror, packages, machine("/etc/resolv.conf"), machine("/etc/hosts"))
	if said, err := inHost.CombinedOutput(); err != nil {
		t.Fatalf("install %s: %v\n%s", packages, err, said)
	}
}
