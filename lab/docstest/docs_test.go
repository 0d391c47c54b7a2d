package docstest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// startHosts starts two hosts that are like those of the documents.
func startHosts(t *testing.T) *lab.Lab {
	t.Helper()
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	labtest.AsDocumented(t, l)
	return l
}

// readPage returns the code blocks of a page for users.
func readPage(t *testing.T, name string) []block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs/user", name))
	if err != nil {
		t.Fatal(err)
	}
	return readBlocks(string(text))
}

// typeBlock types a code block on the hosts that it is for, and returns what they print. Like a
// person, it goes on only while each command succeeds.
func typeBlock(t *testing.T, l *lab.Lab, b block) (out string) {
	t.Helper()
	names, err := hostNames(b.host, l)
	if err != nil {
		t.Fatalf("line %d: %v", b.line, err)
	}
	for _, name := range names {
		t.Logf("%s# %s", name, b.script)
		out += labtest.Sh(t, l.Host(name), "set -e\n"+b.script) + "\n"
	}
	t.Log(out)
	return out
}

// The set-up of a network whose hosts find each other, typed as discovery.md has it, with the ports
// opened as install.md says. Only the copy of the key from host to host is the test's.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	l := startHosts(t)
	a, b := l.Host("host-a"), l.Host("host-b")
	var steps []block
	for _, block := range readPage(t, "discovery.md") {
		if block.section == "Set it up" {
			steps = append(steps, block)
		}
	}
	if len(steps) != 3 {
		t.Fatalf("discovery.md has %d steps, want 3: the key, its name, the network", len(steps))
	}
	closePorts(t, l)
	openPorts(t, l)
	steps[0].host = "On host A"
	typeBlock(t, l, steps[0])
	if err := b.WriteFile("/etc/vxlan/key", []byte(labtest.Sh(t, a, "cat /etc/vxlan/key")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range steps[1:] {
		step.host = "On every host"
		typeBlock(t, l, step)
	}
	labtest.Sh(t, a, "podman run -d --name container-a --network mynet localhost/web")
	labtest.Sh(t, b, "podman run -d --name container-b --network mynet localhost/web")
	labtest.Page(t, a, "container-a", "container-b")
	labtest.Page(t, b, "container-b", "container-a")
	// Of the two addresses of a lab host, auto takes the one by which it reaches the listed host.
	if out := labtest.Sh(t, a, "vxlanctl status"); strings.Contains(out, "VX0502") || !regexp.MustCompile(`host-b +192\.168\.1\.11 +reachable`).MatchString(out) {
		t.Errorf("status says\n%s", out)
	}
}

// closePorts gives the hosts a firewall that drops what it does not know.
func closePorts(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, `nft -f - <<'END'
table inet filter { chain input { type filter hook input priority 0; policy drop; iif lo accept; ct state established,related accept; meta l4proto { icmp, ipv6-icmp } accept; }; }
END`)
	}
}

// openPorts types install.md's commands for a ruleset of one's own.
func openPorts(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, b := range readPage(t, "install.md") {
		if b.section == "Open the ports" && strings.HasPrefix(b.script, "nft ") {
			b.host = "On every host"
			typeBlock(t, l, b)
			return
		}
	}
	t.Fatal("install.md has no commands for nftables")
}

// The way to change an option that keeps containers, typed as hosts.md has it: the container runs
// on, with its address, its name and its published port.
func TestChangeAnOptionWithoutLosingContainers(t *testing.T) {
	t.Parallel()
	l := startHosts(t)
	a, b := l.Host("host-a"), l.Host("host-b")
	create := "podman network create --driver vxlan --opt vni=100 --opt local_ip=auto --opt remote_ips=192.168.1.10,192.168.1.11 " +
		"--opt physical_interface=auto --subnet 10.0.0.0/24 mynet"
	labtest.Sh(t, a, create+"; podman run -d --name container-a -p 8080:80 --network mynet localhost/web")
	labtest.Sh(t, b, create+"; podman run -d --name container-b --network mynet localhost/web")
	state := "podman inspect -f '{{.Id}} {{.State.Pid}} {{.RestartCount}}' container-a"
	before := labtest.Sh(t, a, state)
	const section = "Change an option without losing containers"
	typed := 0
	for _, block := range readPage(t, "hosts.md") {
		if block.section == section {
			block.host = "On host A"
			typeBlock(t, l, block)
			typed++
		}
	}
	if typed != 4 {
		t.Errorf("hosts.md has %d steps, want 4", typed)
	}
	if after := labtest.Sh(t, a, state); after != before {
		t.Errorf("the container was %s and is %s", before, after)
	}
	if got := labtest.Sh(t, a, "podman network inspect -f '{{.Options.max_hosts}}' mynet"); got != "8" {
		t.Errorf("max_hosts is %s", got)
	}
	labtest.Page(t, b, "container-b", "10.0.0.2")
	labtest.Page(t, b, "container-b", "container-a")
	labtest.Page(t, a, "container-a", "container-b")
	labtest.Sh(t, b, "curl -sS --max-time 2 http://192.168.1.10:8080/")
	// What the page warns of: the container is refused, or deleted.
	labtest.Refused(t, a, "podman network rm mynet")
	labtest.Sh(t, a, "podman container exists container-a; podman network rm -f -t0 mynet; ! podman container exists container-a")
}

// A rotation of the key, typed as hosts.md has it, one host after the other. Only the copy of the
// new key is the test's. No agent restarts, and the hosts' containers find each other at every
// moment.
func TestChangeTheKey(t *testing.T) {
	t.Parallel()
	l := startHosts(t)
	a, b := l.Host("host-a"), l.Host("host-b")
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, `mkdir -p /etc/vxlan; echo 'key_file = "/etc/vxlan/key"' > /etc/vxlan/vxland.toml`)
		must(t, h.WriteFile("/etc/vxlan/key", []byte("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"), 0o600))
		labtest.Sh(t, h, "podman network create --driver vxlan --opt vni=100 --opt discovery=gossip --opt local_ip=auto "+
			"--opt remote_ips=192.168.1.10,192.168.1.11 --opt physical_interface=auto --subnet 10.0.0.0/24 mynet")
	}
	labtest.Sh(t, a, "podman run -d --name container-a --network mynet localhost/web")
	labtest.Sh(t, b, "podman run -d --name container-b --network mynet localhost/web")
	labtest.Page(t, a, "container-a", "container-b")
	agents := labtest.Sh(t, a, "pgrep -x vxland") + labtest.Sh(t, b, "pgrep -x vxland")
	before := labtest.Sh(t, a, "vxlanctl status | grep ^key")

	var steps []block
	for _, block := range readPage(t, "hosts.md") {
		if block.section == "Change the key by hand" {
			steps = append(steps, block)
		}
	}
	if len(steps) != 5 {
		t.Fatalf("hosts.md has %d blocks, want 5: make a key, three steps, and look", len(steps))
	}
	steps[0].host = "On host A"
	typeBlock(t, l, steps[0])
	must(t, b.WriteFile("/etc/vxlan/new-key", []byte(labtest.Sh(t, a, "cat /etc/vxlan/new-key")+"\n"), 0o600))
	oldID := strings.Fields(before)[1]
	fresh, look := 0, steps[4]
	for i, step := range steps[1:4] {
		for _, host := range []string{"On host A", "On host B"} {
			step.host, look.host = host, host
			typeBlock(t, l, step)
			fresh++
			// A container that starts now is found on the other host, by its name and at its
			// address.
			name := fmt.Sprint("fresh-", fresh)
			labtest.Sh(t, b, "podman run -d --name "+name+" --network mynet localhost/web")
			labtest.Page(t, a, "container-a", name)
			labtest.Page(t, b, name, "container-a")
			keys := []string{oldID + " encrypts; only to decrypt", "only to decrypt: " + oldID, "encrypts$"}[i]
			labtest.Within(t, 5*time.Second, l.Host(strings.ToLower(strings.ReplaceAll(host[3:], " ", "-"))), strings.TrimSpace(look.script)+" | grep -q '"+keys+"'")
			typeBlock(t, l, look)
		}
	}
	if after := labtest.Sh(t, a, "vxlanctl status | grep ^key"); after == before || after != labtest.Sh(t, b, "vxlanctl status | grep ^key") {
		t.Errorf("the key was %s and is %s", before, after)
	}
	if again := labtest.Sh(t, a, "pgrep -x vxland") + labtest.Sh(t, b, "pgrep -x vxland"); again != agents {
		t.Errorf("agents restarted: %s, then %s", agents, again)
	}
	for _, h := range l.Hosts() {
		if out := labtest.Sh(t, h, "vxlanctl status; cat /run/vxlan/vxland.log"); strings.Contains(out, "gossip refused") || strings.Contains(out, "unreachable") {
			t.Errorf("%s says\n%s", h.Name(), out)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
