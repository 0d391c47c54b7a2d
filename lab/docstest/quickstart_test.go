package docstest

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// newcomer has two hosts on which systemd and firewalld run, and a package's file. Nothing of the
// driver is installed.
type newcomer struct {
	*testing.T
	lab     *lab.Lab
	manager packageManager
	// join is the command that `vxlanctl init` has printed.
	join string
	// working is how long the newcomer has waited for commands.
	working time.Duration
}

// joinCommand is a command with a token, on a page or on a terminal.
var joinCommand = regexp.MustCompile(`vxlanctl join vx1\.\S+`)

func newNewcomer(t *testing.T, m packageManager) *newcomer {
	t.Helper()
	l := labtest.Start(t, lab.Config{Hosts: 2})
	labtest.AsDocumented(t, l)
	file := labtest.MakePackage(t, m.format, "v1.0.0")
	for _, h := range l.Hosts() {
		// The page's hosts have one address each.
		labtest.Sh(t, h, "ip address del "+h.Addr4().String()+"/24 dev eth0; ip route replace default via 192.168.1.1")
		labtest.StartBareHost(t, h)
		labtest.PutFile(t, h, file)
		labtest.Sh(t, h, m.prepare)
	}
	n := &newcomer{T: t, lab: l, manager: m}
	for _, h := range l.Hosts() {
		n.mustRun(h, "mkdir -p /run/dbus; dbus-daemon --system --fork; setsid -f firewalld --nofork --nopid >/run/firewalld.log 2>&1")
	}
	for _, h := range l.Hosts() {
		n.mustRun(h, "for i in $(seq 200); do firewall-cmd --state && exit; sleep 0.1; done; exit 1")
	}
	return n
}

// mustRun runs a script that the newcomer does not type.
func (n *newcomer) mustRun(h *lab.Host, script string) string {
	n.Helper()
	out, err := labtest.TryBySystemd(n, h, script)
	if err != nil {
		n.Fatalf("%s: %v\n%s", h.Name(), err, out)
	}
	return out
}

// typeBlock types a block on the hosts that it is for, and returns what they print.
func (n *newcomer) typeBlock(b block) (out string) {
	n.Helper()
	names, err := hostNames(b.host, n.lab)
	if err != nil {
		n.Fatalf("line %d: %v", b.line, err)
	}
	script := joinCommand.ReplaceAllLiteralString(n.manager.commands.Replace(b.script), n.join)
	for _, name := range names {
		n.Logf("%s# %s", name, script)
		began := time.Now()
		said, err := labtest.TryBySystemd(n, n.lab.Host(name), "cd /root; "+script)
		n.working += time.Since(began)
		if err != nil {
			n.Fatalf("line %d: %v\n%s", b.line, err, said)
		}
		out += said + "\n"
	}
	if printed := joinCommand.FindString(out); printed != "" {
		n.join = printed
	}
	n.Log(out)
	return out
}

// maxWorking is what the quickstart may cost of its five minutes without the newcomer: typing and
// reading takes the rest.
const maxWorking = 2 * time.Minute

// The quickstart, typed as it stands: from a package's file to a ping, and back to hosts on which
// nothing is left.
func TestQuickstart(t *testing.T) {
	followQuickstart(t, apt)
}

func followQuickstart(t *testing.T, m packageManager) {
	t.Helper()
	n := newNewcomer(t, m)
	a, b := n.lab.Host("host-a"), n.lab.Host("host-b")
	before := []string{n.listFiles(a), n.listFiles(b)}
	// What shows that a section did what it promises.
	want := map[string]string{
		"1. Install":                        m.installed,
		"2. Open the ports":                 "success",
		"3. Begin on host A":                "mynet",
		"4. Join on host B":                 "checked: TCP and UDP 7947, and UDP 4789, both ways",
		"5. Start a container on each host": "",
		"6. Try it":                         "3 packets received",
		"7. Look at it":                     "all is well: 1 network, 1 container here, 1 on other hosts",
		"8. Clean up":                       "this host has left its cluster",
	}
	run := make(map[string]bool)
	for _, b := range readPage(t, "quickstart.md") {
		if b.skipped || b.host == "" {
			continue // a block under no host's heading is for whoever looks for a fault
		}
		if !run[b.section] && strings.HasPrefix(b.section, "6.") {
			n.checkNameSpreads()
		}
		out := n.typeBlock(b)
		text, ok := want[b.section]
		if !ok || !run[b.section] && !strings.Contains(out, text) {
			t.Errorf("section %q: want %q (known: %v) in\n%s", b.section, text, ok, out)
		}
		if !run[b.section] && strings.HasPrefix(b.section, "6.") {
			n.checkTime()
			n.checkUnits()
			n.checkConfigIsAsShipped()
		}
		run[b.section] = true
	}
	for section := range want {
		if !run[section] {
			t.Errorf("quickstart.md has no commands in section %q", section)
		}
	}
	for i, h := range n.lab.Hosts() {
		left := labtest.Changes(before[i], n.listFiles(h)) + labtest.Leftovers(t, h) +
			labtest.Sh(t, h, "pgrep vxland || true; grep podman-vxlan /etc/firewalld/zones/public.xml || true; nft list tables | grep vxlan || true")
		if left != "" {
			t.Errorf("%s has left\n%s", h.Name(), left)
		}
	}
}

// listFiles lists the host's files, without those in which firewalld and dnf keep what was changed.
func (n *newcomer) listFiles(h *lab.Host) string {
	n.Helper()
	all := labtest.ListSystemFiles(n, h)
	return regexp.MustCompile(`(?m)^(/etc/firewalld/zones/public\.xml|/var/lib/(rpm|dnf)\b).*\n`).ReplaceAllString(all, "")
}

// checkNameSpreads: the name is known on the other host within the second in which a newcomer goes from
// one terminal to the other. This test is there sooner.
func (n *newcomer) checkNameSpreads() {
	const ask = "for i in $(seq 10); do podman exec container-a nslookup container-b && exit; sleep 0.1; done; exit 1"
	if out, err := labtest.TryBySystemd(n, n.lab.Host("host-a"), ask); err != nil {
		n.Errorf("the name of a container on host-b is not known on host-a after a second: %v\n%s", err, out)
	}
}

// checkTime checks how long the newcomer has waited for the ping.
func (n *newcomer) checkTime() {
	n.Logf("from the package to the ping the hosts worked for %.1f s", n.working.Seconds())
	if n.working > maxWorking {
		n.Errorf("that is more than %v", maxWorking)
	}
}

// checkConfigIsAsShipped: who follows the quickstart has edited no file of the package, so dpkg never
// asks which version of it to keep.
func (n *newcomer) checkConfigIsAsShipped() {
	for _, h := range n.lab.Hosts() {
		out, err := labtest.TryBySystemd(n, h, n.manager.listEdited)
		if err != nil || strings.Contains(out, "/etc/vxlan/vxland.toml") {
			n.Errorf("%s: files of the package that differ: %v\n%s", h.Name(), err, out)
		}
	}
}

// checkUnits: the agent of a member is systemd's, and runs after a boot too. Confined as it is, it
// can change the key.
func (n *newcomer) checkUnits() {
	for _, h := range n.lab.Hosts() {
		out, err := labtest.TryBySystemd(n, h, "systemctl is-enabled vxland.service; systemctl is-active vxland.service; vxlanctl status | grep ^key")
		if err != nil || !strings.HasPrefix(out, "enabled\nactive\nkey ") {
			n.Errorf("%s: the agent's unit: %v\n%s", h.Name(), err, out)
		}
	}
	if out, err := labtest.TryBySystemd(n, n.lab.Host("host-a"), "vxlanctl key rotate"); err != nil {
		n.Errorf("change the key: %v\n%s", err, out)
	}
}
