package agenttest

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"vxlan-driver/lab/labtest"
)

// maxExposure is what `systemd-analyze security` may say of the units: 10 is a service of root
// that is not confined at all.
const maxExposure = 4.0

// wantConfined checks that systemd does to the agent what the unit says.
func wantConfined(n node) {
	n.Helper()
	for _, unit := range []string{"vxland.service", "vxlan-reload@nftables.service"} {
		out := n.mustRun("systemd-analyze security --no-pager " + unit + " | tail -1")
		m := regexp.MustCompile(`level for .*: ([0-9.]+)`).FindStringSubmatch(out)
		if m == nil {
			n.Fatalf("systemd-analyze says %s", out)
		}
		exposure, err := strconv.ParseFloat(m[1], 64)
		if err != nil || exposure > maxExposure {
			n.Errorf("%s has an exposure of %s, more than %v", unit, m[1], maxExposure)
		}
	}
	n.mustRun("grep -q 'Seccomp:.2' /proc/$(pgrep -x vxland)/status && grep -q 'NoNewPrivs:.1' /proc/$(pgrep -x vxland)/status")
	// CAP_NET_BIND_SERVICE 10, CAP_NET_ADMIN 12, CAP_NET_RAW 13, CAP_SYS_PTRACE 19, CAP_SYS_ADMIN
	// 21
	if got, want := n.mustRun("sed -n 's/CapBnd:.0*//p' /proc/$(pgrep -x vxland)/status"), fmt.Sprintf("%x", 1<<10|1<<12|1<<13|1<<19|1<<21); got != want {
		n.Errorf("capabilities %s, want %s", got, want)
	}
	const inside = "nsenter -t $(pgrep -x vxland) -m -- "
	for _, path := range []string{"/etc/x", "/usr/x", "/var/x", "/sys/kernel/mm/ksm/run", "/proc/sys/kernel/panic", "/proc/sysrq-trigger", "/sys/fs/cgroup/cgroup.procs"} {
		n.mustRun("! " + inside + "sh -c 'true >>" + path + "' 2>/dev/null")
	}
	n.mustRun("for f in /var/lib/vxlan/x /etc/vxlan/x /run/sysctl.d/x; do " + inside + "touch $f && rm $f; done; " + inside + "test ! -e /root/.bashrc")
}

// The agent does all its work within the confines of its unit.
func TestConfinedAgentWorks(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	a, b, outside := startNode(t, l.Hosts()[0]), l.Hosts()[1], l.Host("outside")
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, "mkdir -p /etc/vxlan; (umask 077; seq 100 | sha256sum | head -c 64 >/etc/vxlan/key); echo 'key_file = \"/etc/vxlan/key\"' >/etc/vxlan/vxland.toml")
	}
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	labtest.CreateNetwork(t, l, "own", "--opt discovery=gossip --opt vni=101 --subnet 10.1.0.0/24")
	labtest.Sh(t, b, "podman run -d --name cb --network net --network own localhost/web 2>/dev/null") // it warns that no other host runs yet
	a.mustRun("mkdir -p /run/dbus; dbus-daemon --system --fork; setsid -f firewalld --nofork --nopid >/run/firewalld.log 2>&1")
	a.succeedsWithin(20*time.Second, "firewall-cmd --state && firewall-cmd --permanent --add-port=4789/udp --add-port=7947/udp --add-port=7947/tcp && firewall-cmd --reload")
	namespaces := a.mustRun("lsns -nt net | wc -l")
	labtest.Sh(t, b, "nft add table inet block; nft add chain inet block in '{ type filter hook input priority 0; }'; nft add rule inet block in udp dport 4789 drop")
	a.runContainer("ca")
	wantConfined(a)
	a.succeedsWithin(30*time.Second, "vxlanctl status | grep -E 'VX030[12].*host-b'")
	labtest.Sh(t, b, "nft delete table inet block")

	// Names, addresses and forwarding, also for containers of other users.
	a.mustRun("podman run -d --name cc --network own --uidmap 0:100000:5000 localhost/web && podman run -d --name cu --network net --uidmap 0:100000:5000 localhost/web")
	for container, network := range map[string]string{"ca": "net", "cu": "net", "cc": "own"} {
		a.succeedsWithin(3*time.Second, "podman exec "+container+" ping -c1 -W1 cb")
		a.succeedsWithin(time.Second, arpNotifySet(container))
		labtest.Sh(t, b, "podman exec cb ping -c1 -W1 "+container)
		a.mustRun("test -e /run/sysctl.d/zz-vxlan-driver-br-vxlan-" + network + ".conf")
	}

	wantSameDiagnosis(a, b)

	// Repair.
	const pings = "podman exec ca ping -c1 -W1 cb"
	// A question for a name that comes while the bridge is away is lost, and asked again after five seconds.
	const mended = 10 * time.Second
	for _, broken := range []struct{ script, repaired string }{
		{"ip link del vxlan-net", pings},
		{"ip link del br-vxlan-net", pings},
		{"nft delete table inet vxlan-driver", "nft list set inet vxlan-driver members4 | grep -q elements"},
		{"sysctl -qw net.ipv4.conf.br-vxlan-net.forwarding=0", "test $(sysctl -n net.ipv4.conf.br-vxlan-net.forwarding) = 1"},
		{"firewall-cmd --reload", "test $(firewall-cmd --get-zone-of-interface=br-vxlan-net) = trusted"},
	} {
		t.Log(broken.script, a.mustRun(broken.script))
		t.Log("repaired after", a.succeedsWithin(mended, broken.repaired))
	}

	// The unit that repairs after another program's firewall is confined too. It starts the agent.
	a.mustRun("systemctl stop vxland.socket vxland.service; nft delete table inet vxlan-driver; systemctl start vxlan-reload@nftables")
	a.mustRun("nft list set inet vxlan-driver members4 | grep -q elements; systemctl is-active vxland.service")

	// Podman's files.
	startUpstreamDNS(t, outside)
	a.mustRun("podman network update net --dns-add " + outside.Addr4().String())
	a.succeedsWithin(3*time.Second, resolvesName("ca", "www.example.test"))

	// The agent keeps no namespace.
	a.mustRun("podman rm -f -t0 ca cc cu")
	a.succeedsWithin(3*time.Second, "test $(lsns -nt net | wc -l) = "+namespaces)
	a.mustRun("test -s /var/lib/vxlan/host-id; ! journalctl -u vxland --no-pager | grep -iE 'not permitted|permission denied|read-only'")

	// What a site needs besides is added by a drop-in: here a key of another user's, in a home
	// directory.
	a.mustRun("mkdir -p /home/site; mv /etc/vxlan/key /home/site/key; chown 1000 /home/site/key; sed -i s,/etc/vxlan,/home/site, /etc/vxlan/vxland.toml; systemctl restart vxland")
	a.succeedsWithin(3*time.Second, "vxlanctl status | grep 'this agent talks to no other host until the file can be used'")
	a.mustRun("mkdir /etc/systemd/system/vxland.service.d; printf '[Service]\nCapabilityBoundingSet=CAP_DAC_READ_SEARCH\nProtectHome=read-only\n' >/etc/systemd/system/vxland.service.d/key.conf")
	a.mustRun("systemctl daemon-reload; systemctl restart vxland; systemctl is-active vxland")
	a.succeedsWithin(3*time.Second, "vxlanctl status >/tmp/status; grep -q '^key ' /tmp/status && ! grep 'talks to no other host' /tmp/status")

	wantStartWithoutFiles(a)
}

// wantStartWithoutFiles: whoever removes key and configuration together gets an agent without a key.
// Without the directory, one that starts makes it, so that a later change of the key can write there.
func wantStartWithoutFiles(n node) {
	n.Helper()
	n.mustRun("rm /home/site/key /etc/vxlan/vxland.toml; vxlanctl reload; vxlanctl status >/tmp/status; ! grep -e '^key ' -e VX070 /tmp/status")
	n.mustRun("systemctl stop vxland.socket vxland.service; rm -r /etc/vxlan; systemctl start vxland.service; test \"$(stat -c '%a %U' /etc/vxlan)\" = '700 root'")
	n.mustRun("nsenter -t $(pgrep -x vxland) -m -- touch /etc/vxlan/key && test -e /etc/vxlan/key")
}
