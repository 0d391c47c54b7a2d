package packagetest

import (
	"os"
	"path/filepath"
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
	create := "podman network create --opt remote_ips=" + labtest.VTEPs(l) + " " + netFlags
	labtest.Sh(t, b, create+"; podman run -d --name cb --network net localhost/web")
	a.mustRun(create + "; podman run -d --name ca --network net -p 8080:80 localhost/web")
	a.succeedsWithin(3*time.Second, "podman exec ca ping -c1 -W1 cb")
	a.mustRun("systemctl is-active vxland.service; vxlanctl status")

	t.Run("firewall restart", func(t *testing.T) { restartNftables(node{t, a.host}) })
	t.Run("upgrade", func(t *testing.T) {
		wantParts(t, upgrade(node{t, a.host}, second), "Unpacking vxlan-driver (1.0.1-1) over (1.0.0-1)")
	})
	t.Run("removal in use", func(t *testing.T) { refuseRemoval(node{t, a.host}) })

	a.mustRun("podman rm -f -t0 ca && podman network rm net; " + labtest.MountBPF + "; " + labtest.PinLeftover)
	a.mustRun("dpkg -r vxlan-driver && ! pgrep -x vxland && test ! -e /run/vxlan && " + labtest.NothingPinned)
	wantParts(t, a.mustRun("cat /etc/vxlan/vxland.toml"), "\nlog_level = ")
	a.mustRun("dpkg -P vxlan-driver")
	wantNothingLeft(a, before)

	// Who installs it again has a host as at first.
	a.mustRun("dpkg -i " + second + "; " + create + "; podman run -d --name ca --network net localhost/web")
	a.succeedsWithin(3*time.Second, "podman exec ca ping -c1 -W1 cb")
	a.mustRun("podman rm -f -t0 ca && podman network rm net && dpkg -P vxlan-driver")
	wantNothingLeft(a, before)
}

// The package of an older version, OLDER_DEB, is replaced on one host after the other while their
// containers talk. make test-packages builds it from an older commit.
func TestUpgradeFromOlder(t *testing.T) {
	older := os.Getenv("OLDER_DEB")
	if older == "" {
		t.Skip("builds an older version, which takes a minute: make test-packages")
	}
	l := labtest.Start(t, lab.Config{Hosts: 2})
	deb, create := labtest.MakeDeb(t, "v1.0.1"), "podman network create --opt remote_ips="+labtest.VTEPs(l)+" "+netFlags
	before := make(map[*lab.Host]string)
	for i, h := range l.Hosts() {
		n := startNode(t, h)
		before[h] = listSystemFiles(n)
		n.mustRun("dpkg -i " + labtest.PutFile(t, h, older) + "; " + create)
		n.mustRun("podman run -d --name c" + string("ab"[i]) + " --network net -p 8080:80 localhost/web")
		labtest.PutFile(t, h, deb)
	}
	a, b := node{t, l.Host("host-a")}, node{t, l.Host("host-b")}
	a.succeedsWithin(3*time.Second, "podman exec ca ping -c1 -W1 cb")
	b.succeedsWithin(3*time.Second, "podman exec cb ping -c1 -W1 ca")
	installed := a.mustRun("vxlanctl --version")
	for _, n := range []node{a, b} {
		upgrade(n, keepConfig+"/root/"+filepath.Base(deb))
	}
	if now := a.mustRun("vxlanctl --version"); now == installed {
		t.Errorf("the version was and is %s", now)
	}
	for _, n := range []node{a, b} {
		n.succeedsWithin(5*time.Second, "vxlanctl doctor")
	}
	for _, n := range []node{a, b} {
		n.mustRun("podman restart -t0 $(podman ps -q) && podman rm -f -t0 -a && podman network rm net && dpkg -P vxlan-driver")
		wantNothingLeft(n, before[n.host])
	}
}

// keepConfig answers dpkg's question, which comes where the package's vxland.toml has changed too.
const keepConfig = "--force-confold "

const netFlags = "--driver vxlan --opt local_ip=auto --opt physical_interface=auto --opt vni=100 --subnet 10.0.0.0/24 net"

// wantNothingLeft checks that a purge has left the host as it was.
func wantNothingLeft(n node, before string) {
	n.Helper()
	left := labtest.Changes(before, listSystemFiles(n)) + n.mustRun("{ ip -br link; nft list tables; systemctl list-unit-files; } | grep vxla || true")
	if left != "" {
		n.Errorf("after a purge:\n%s", left)
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
// version's. It returns what dpkg prints. The host has container ca, and another host cb, or the other
// way round.
func upgrade(n node, deb string) string {
	n.mustRun("sed -i 's/^#log_level/log_level/' /etc/vxlan/vxland.toml && vxlanctl reload")
	own, other := "ca", "cb"
	if n.mustRun("podman ps --format '{{.Names}}'") == other {
		own, other = other, own
	}
	peer := n.mustRun("podman exec " + own + " ping -c1 -W1 " + other + " | sed -n 's/^PING [^(]*(\\([0-9.]*\\)).*/\\1/p'")
	agent := n.mustRun("systemctl show -p MainPID --value vxland")
	// Fifty pings a second, and a connection that asks for the page after the upgrade only.
	n.mustRun(`{ setsid -f podman exec ` + own + ` ping -i 0.02 -W1 ` + peer + ` >/tmp/pings
		setsid -f sh -c '{ until test -e /tmp/upgraded; do sleep 0.1; done; printf "GET / HTTP/1.0\r\n\r\n"; } | podman exec -i ` + own + ` nc ` + peer + ` 80 >/tmp/page'
		} </dev/null >/dev/null 2>&1`)
	n.succeedsWithin(2*time.Second, "grep -q 'seq=10 ' /tmp/pings && podman exec "+own+" netstat -tn | grep ' "+peer+":80 *ESTABLISHED'")
	out := n.mustRun("DEBIAN_FRONTEND=noninteractive dpkg -i " + deb)
	wantParts(n.T, out, "reloaded 1 network")
	n.mustRun("vxlanctl --version | grep 'v1.0.1$' && grep '^log_level = ' /etc/vxlan/vxland.toml && ls /etc/vxlan && test ! -e /etc/vxlan/vxland.toml.dpkg-new")
	n.succeedsWithin(2*time.Second, "podman exec "+own+" ping -c1 -W1 "+other+" && ! vxlanctl status | grep -e outdated -e 'program was replaced'")
	if now := n.mustRun("systemctl show -p MainPID --value vxland"); now != agent {
		n.Errorf("the agent was process %s, and is %s", agent, now)
	}
	n.mustRun("touch /tmp/upgraded; pkill -INT -x ping")
	n.succeedsWithin(2*time.Second, "grep 'It works' /tmp/page")
	n.succeedsWithin(2*time.Second, "grep -q 'packet loss' /tmp/pings")
	if pings := n.mustRun("tail -3 /tmp/pings"); !strings.Contains(pings, " 0% packet loss") {
		n.Errorf("during the upgrade: %s", pings)
	}
	return out
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
