package packagetest

import (
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// A package's life on a host. It is installed, and networks work at once. An upgrade cuts nothing,
// and keeps what the administrator wrote. While containers use a network the package is not removed.
// When it is purged, nothing is left.
func TestDebianPackage(t *testing.T) {
	l := labtest.Start(t, lab.Config{Hosts: 2})
	a, b := startNode(t, l.Host("host-a")), l.Host("host-b")
	first, second := makeDeb(t, a.host, "v1.0.0"), makeDeb(t, a.host, "v1.0.1")
	before := listSystemFiles(a)

	a.mustRun("dpkg -i " + first + " && dpkg --verify vxlan-driver")
	wantParts(t, a.mustRun("vxlanctl --version; stat -c '%a %U' /etc/vxlan"), "vxlanctl v1.0.0\n", "700 root")
	wantParts(t, a.mustRun("systemctl is-enabled vxlan-reload@nftables vxlan-reload@firewalld vxland.socket vxland.service || true"),
		"enabled\nenabled\ndisabled\ndisabled")
	wantParts(t, a.mustRun("journalctl --list-catalog; firewall-offline-cmd --info-service=podman-vxlan"), "VX0101: ", "4789/udp 7947/udp 7947/tcp 7949/tcp")
	const netFlags = "--driver vxlan --opt local_ip=auto --opt physical_interface=auto --opt vni=100 --subnet 10.0.0.0/24 net"
	create := "podman network create --opt remote_ips=" + labtest.VTEPs(l) + " " + netFlags
	labtest.Sh(t, b, create+"; podman run -d --name cb --network net localhost/web")
	a.mustRun(create + "; podman run -d --name ca --network net -p 8080:80 localhost/web")
	a.succeedsWithin(3*time.Second, "podman exec ca ping -c1 -W1 cb")
	a.mustRun("systemctl is-active vxland.service; vxlanctl status")

	t.Run("firewall restart", func(t *testing.T) { restartNftables(node{t, a.host}) })
	t.Run("upgrade", func(t *testing.T) { upgrade(node{t, a.host}, second) })
	t.Run("removal in use", func(t *testing.T) { refuseRemoval(node{t, a.host}) })

	a.mustRun("podman rm -f -t0 ca && podman network rm net && dpkg -r vxlan-driver && ! pgrep -x vxland && test ! -e /run/vxlan")
	wantParts(t, a.mustRun("cat /etc/vxlan/vxland.toml"), "\nlog_level = ")
	a.mustRun("dpkg -P vxlan-driver")
	if left := labtest.Changes(before, listSystemFiles(a)); left != "" {
		t.Errorf("after a purge:\n%s", left)
	}
	if left := a.mustRun("{ ip -br link; nft list tables; systemctl list-unit-files; } | grep vxla || true"); left != "" {
		t.Errorf("after a purge:\n%s", left)
	}
}

// restartNftables: a service that flushes the ruleset when it starts takes the driver's rules along,
// and the unit that the package has enabled restores them. Without an agent nobody else would.
func restartNftables(n node) {
	n.mustRun("systemctl stop vxland.socket vxland.service; grep 'flush ruleset' /etc/nftables.conf; nft add table inet leftover; systemctl restart nftables")
	n.succeedsWithin(2*time.Second, "systemctl is-active vxlan-reload@nftables && nft list table inet vxlan-driver >/dev/null && ! nft list table inet leftover")
	n.succeedsWithin(3*time.Second, "podman exec ca ping -c1 -W1 cb")
}

// upgrade: packets, connections and published ports go on, and agent and rules are the new
// version's.
func upgrade(n node, deb string) {
	n.mustRun("sed -i 's/^#log_level/log_level/' /etc/vxlan/vxland.toml && vxlanctl reload")
	peer := n.mustRun("podman exec ca ping -c1 -W1 cb | sed -n 's/^PING cb (\\([0-9.]*\\)).*/\\1/p'")
	agent := n.mustRun("systemctl show -p MainPID --value vxland")
	// Fifty pings a second, and a connection that asks for the page after the upgrade only.
	n.mustRun(`{ setsid -f podman exec ca ping -i 0.02 -W1 ` + peer + ` >/tmp/pings
		setsid -f sh -c '{ until test -e /tmp/upgraded; do sleep 0.1; done; printf "GET / HTTP/1.0\r\n\r\n"; } | podman exec -i ca nc ` + peer + ` 80 >/tmp/page'
		} </dev/null >/dev/null 2>&1`)
	n.succeedsWithin(2*time.Second, "grep -q 'seq=10 ' /tmp/pings && podman exec ca netstat -tn | grep ' "+peer+":80 *ESTABLISHED'")
	out := n.mustRun("DEBIAN_FRONTEND=noninteractive dpkg -i " + deb)
	wantParts(n.T, out, "Unpacking vxlan-driver (1.0.1-1) over (1.0.0-1)", "reloaded 1 network")
	n.mustRun("vxlanctl --version | grep 'v1.0.1$' && grep '^log_level = ' /etc/vxlan/vxland.toml && ls /etc/vxlan && test ! -e /etc/vxlan/vxland.toml.dpkg-new")
	n.succeedsWithin(2*time.Second, "podman exec ca ping -c1 -W1 cb && ! vxlanctl status | grep -e outdated -e 'program was replaced'")
	if now := n.mustRun("systemctl show -p MainPID --value vxland"); now != agent {
		n.Errorf("the agent was process %s, and is %s", agent, now)
	}
	n.mustRun("touch /tmp/upgraded; pkill -INT -x ping")
	n.succeedsWithin(2*time.Second, "grep 'It works' /tmp/page")
	n.succeedsWithin(2*time.Second, "grep -q 'packet loss' /tmp/pings")
	if pings := n.mustRun("tail -3 /tmp/pings"); !strings.Contains(pings, " 0% packet loss") {
		n.Errorf("during the upgrade: %s", pings)
	}
}

// refuseRemoval: the package manager stops, and says which containers are in the way. They go on,
// and so does the package.
func refuseRemoval(n node) {
	for _, remove := range []string{"dpkg -r vxlan-driver", "dpkg -P vxlan-driver"} {
		wantParts(n.T, n.mustFail(remove), "network net is used by container ca", "podman network disconnect", "nothing was removed")
		wantParts(n.T, n.mustRun("dpkg-query -W -f '${db:Status-Status}' vxlan-driver"), "installed")
		n.mustRun("podman exec ca ping -c1 -W1 cb; systemctl is-active vxland.service; systemctl is-enabled vxlan-reload@nftables")
	}
}
