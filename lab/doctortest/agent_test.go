package doctortest

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// agentFaults are tried on hosts whose agents run. What these repair by themselves is not among them.
var agentFaults = []fault{
	{name: "input of the other host drops VXLAN", inject: drop("inet", "input", "0", "udp dport 4789 drop"), look: "host-a", code: "VX0502", says: "VXLAN", quick: true},
	{name: "input drops VXLAN", inject: drop("inet", "input", "0", "udp dport 4789 drop"), code: "VX0502", says: "VXLAN"},
	{name: "input drops the agents' messages", inject: drop("inet", "input", "0", "meta l4proto { tcp, udp } th dport 7947 drop"), code: "VX0502", says: "messages of the agents"},
	{name: "tc of the other host steals VXLAN", inject: "tc qdisc replace dev eth0 clsact; tc filter add dev eth0 ingress protocol ip u32 match ip protocol 17 0xff match ip dport 4789 0xffff action mirred egress redirect dev lo",
		look: "host-a", code: "VX0505", says: "ingress of eth0"},
	{name: "agent stopped", inject: labtest.FreezeAgent, code: "VX0701", says: "was stopped", quick: true},
	{name: "agent killed", inject: "kill -9 $(pgrep ^vxland)", code: "VX0701", says: "does not run", quick: true},
	{name: "configuration refused", inject: "mkdir -p /etc/vxlan; echo 'prot = 7947' > /etc/vxlan/vxland.toml", code: "VX0710", says: "prot", after: "rm /etc/vxlan/vxland.toml"},
	{name: "configuration refused, agent ended", inject: "mkdir -p /etc/vxlan; echo 'prot = 7947' > /etc/vxlan/vxland.toml; kill -9 $(pgrep ^vxland)", code: "VX0710", says: "prot",
		after: "rm /etc/vxlan/vxland.toml"},
	{name: "key that is none", inject: "mkdir -p /etc/vxlan; echo short > /etc/vxlan/key; chmod 600 /etc/vxlan/key; echo 'key_file = \"/etc/vxlan/key\"' > /etc/vxlan/vxland.toml", code: "VX0710", says: "key",
		person: decision{"only a person has the cluster's key, and without it the agent would trust others", "rm /etc/vxlan/vxland.toml /etc/vxlan/key; vxlanctl reload"}},
	{name: "agent not installed", inject: "mv /usr/local/bin/vxland /tmp/; kill -9 $(pgrep ^vxland)", code: "VX0104", says: "vxland is not installed",
		person: decision{"how the driver was installed is not known on a host without its package", "mv /tmp/vxland /usr/local/bin/; vxlanctl reload"}},
	{name: "agents' port taken", inject: "kill -9 $(pgrep ^vxland); while pgrep ^vxland; do sleep 0.02; done; (iperf3 -s -p 7947 >/dev/null 2>&1 </dev/null &); until ss -Hltn 'sport = 7947' | grep -q .; do sleep 0.02; done", code: "VX0711", says: "iperf3"},
	{name: "entry of a remote container replaced", inject: "mac=$(bridge fdb show dev vxlan-net | awk '/dst 198.18.0.11/ && !/^00:00:00:00:00:00/ {print $1; exit}'); bridge fdb replace $mac dev vxlan-net dst 198.18.0.77 self permanent",
		code: "VX0403", says: "forwarding entr", quick: true},
	{name: "neighbour of a remote container replaced", inject: "ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:99 dev br-vxlan-net nud permanent", code: "VX0404", says: "neighbour"},
	{name: "questions for names dropped", inject: drop("inet", "input", "0", "iifname br-vxlan-net udp dport 53-65000 drop"), code: "VX0803", says: "names"},
	{name: "container asks another server",
		inject: "podman exec cb sh -c 'echo nameserver 192.0.2.53 >/etc/resolv.conf'", code: "VX0801",
		says: "container cb asks 192.0.2.53 for names"},
	{name: "questions for names dropped on the bridge",
		inject: drop("bridge", "input", "0", "udp dport { 53, 61053-61068 } drop"), code: "VX0803", says: "table bridge"},
	{name: "name server outside silent", inject: "echo nameserver 198.18.0.250 > /etc/resolv.conf", code: "VX0802", says: "198.18.0.250",
		person: decision{"which other name server there is, or how that one is started, is not known", "true > /etc/resolv.conf"}},
	{name: "other MTU", inject: recreate("--opt vni=100 --opt mtu=1400 --subnet 10.0.0.0/24"), code: "VX0605", says: "MTU", all: true, after: "vxlanctl network set net mtu="},
	{name: "other VNI", inject: recreate("--opt vni=109 --subnet 10.0.0.0/24"), code: "VX0306", says: "VNI"},
	{name: "other port", inject: recreate("--opt vni=100 --opt vxlan_port=4790 --subnet 10.0.0.0/24"), code: "VX0306", says: "port"},
	{name: "other cluster", inject: "mkdir -p /etc/vxlan; echo 'cluster = \"other\"' > /etc/vxlan/vxland.toml; vxlanctl reload", code: "VX0708", says: "refuses",
		person: decision{"to which cluster the host belongs is for a person to say", "rm /etc/vxlan/vxland.toml; vxlanctl reload"}},
	{name: "a size dropped", inject: drop("inet", "input", "0", "meta length > 1400 udp dport 4789 drop"), look: "host-a", code: "VX0506", says: "may drop"},
	{name: "blackhole route, VXLAN dropped too", inject: "ip route add blackhole 198.18.0.11; " + drop("inet", "input", "0", "udp dport 4789 drop"), code: "VX0203", says: "198.18.0.11",
		then: "VX0502"},
	{name: "agent killed, addresses flushed", inject: "kill -9 $(pgrep ^vxland); ip address flush dev br-vxlan-net", code: "VX0408", says: "10.0.0.1"},
}

// recreate is a script that makes the network anew with other options, and the container again.
func recreate(options string) string {
	return "podman rm -f -t0 cb >/dev/null; podman network rm net >/dev/null; " + createNet(options) + "; podman run -d --name cb --network net localhost/web 2>/dev/null"
}

func createNet(options string) string {
	return "podman network create --driver vxlan --opt local_ip=auto --opt remote_ips=198.18.0.11,198.18.0.12 --opt physical_interface=eth0 " + options + " net >/dev/null"
}

func startWithAgents(t *testing.T) *lab.Lab {
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	for i, h := range l.Hosts() {
		labtest.Sh(t, h, "ip route add default via 198.18.0.1 dev eth0; "+createNet("--opt vni=100 --subnet 10.0.0.0/24"))
		labtest.Sh(t, h, "podman run -d --name c"+string(rune('a'+i))+" --network net localhost/web")
	}
	awaitHealth(t, l.Hosts()...)
	return l
}

func TestFaultsWithAgents(t *testing.T) {
	t.Parallel()
	l := startWithAgents(t)
	for _, f := range chosen(slices.Concat(agentFaults, furtherAgentFaults)) {
		if !t.Run(f.name, func(t *testing.T) { tryFault(t, l, f) }) { // it may be broken still
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = startWithAgents(t)
		}
	}
	for _, f := range chosen(underlayFaults) {
		t.Run(f.name, func(t *testing.T) { tryUnderlayFault(t, l, f) })
	}
	for range chosen([]fault{{name: "one address for two containers"}}) {
		t.Run("one address for two containers", func(t *testing.T) { tryDuplicateAddress(t, l) })
	}
}

// underlayFault is broken between the hosts, so doctor says what is lost and blames no host.
type underlayFault struct {
	name, inject, look, code, says string
	without                        string // script between the hosts that ends the fault
	typed                          bool   // what is printed mends it while the fault lasts, typed on all hosts
	quick                          bool
}

// Unless a fault is typed, the mend is for whoever owns the network between the hosts.
var underlayFaults = []underlayFault{
	{name: "UDP dropped between the hosts", inject: dropBetween("udp dport 4789 drop"), look: "host-a", code: "VX0301", says: "no VXLAN packet passes", without: noDropBetween},
	{name: "UDP dropped in one direction", inject: dropBetween("oifname host-b udp dport 4789 drop"), look: "host-a", code: "VX0302", says: "no VXLAN packet arrives at host host-b", without: noDropBetween},
	{name: "UDP dropped in the other direction", inject: dropBetween("oifname host-a udp dport 4789 drop"), look: "host-b", code: "VX0302", says: "no VXLAN packet arrives at host host-a", without: noDropBetween},
	{name: "large packets dropped", inject: dropBetween("udp dport 4789 meta length gt 1400 drop"), look: "host-a", code: "VX0303", says: "frames of 1450 bytes", without: noDropBetween, typed: true},
	{name: "MTU of the path", inject: "ip link set host-b mtu 1400", look: "host-a", code: "VX0303", says: "frames of 1450 bytes", without: "ip link set host-b mtu 1500", typed: true},
	{name: "cable unplugged", inject: "ip link set host-b down", look: "host-b", code: "VX0201", says: "no carrier", without: "ip link set host-b up"},
}

const noDropBetween = "nft delete table bridge block"

func dropBetween(rule string) string {
	return "nft add table bridge block; nft 'add chain bridge block c { type filter hook forward priority 0; }'; nft add rule bridge block c " + rule
}

// between runs a script on the network between the hosts.
func between(t *testing.T, l *lab.Lab, script string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "nsenter", "--net="+l.UnderlayNetns(), "sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// tryUnderlayFault breaks the underlay, looks, mends it and looks again.
func tryUnderlayFault(t *testing.T, l *lab.Lab, f underlayFault) {
	between(t, l, f.inject)
	first := wantFirst(t, l.Host(f.look), f.code, f.look, f.says)
	if f.typed {
		for _, h := range l.Hosts() {
			labtest.Sh(t, h, strings.Join(first.Mend, "\n"))
		}
		awaitHealth(t, l.Hosts()...)
	}
	between(t, l, f.without)
	if f.typed {
		for _, h := range l.Hosts() {
			labtest.Sh(t, h, "vxlanctl network set net mtu=")
		}
	}
	awaitHealth(t, l.Hosts()...)
}

// While hosts do not reach each other, both give a container one address. Later one of them takes
// another, by what is printed.
func tryDuplicateAddress(t *testing.T, l *lab.Lab) {
	between(t, l, dropBetween("drop"))
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, "podman run -d --name dup-"+h.Name()+" --network net --ip 10.0.0.200 localhost/web 2>/dev/null")
	}
	between(t, l, noDropBetween)
	first, all := awaitFinding(t, l.Host("host-b"), "VX0601")
	if first.Code != "VX0601" || !strings.Contains(first.Summary, "10.0.0.200") || len(first.Evidence) == 0 {
		t.Errorf("found %s", describe(all))
	}
	labtest.Sh(t, l.Host(first.Host), strings.Join(first.Mend, "\n"))
	awaitHealth(t, l.Hosts()...)
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, "podman rm -f -t0 dup-"+h.Name())
	}
	awaitHealth(t, l.Hosts()...)
}

// On healthy hosts nothing is found, whatever kind of network they have.
func TestHealthyHosts(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	kinds := map[string]string{
		"static": "--opt remote_ips=198.18.0.11,198.18.0.12 --opt vni=1 --subnet 10.1.0.0/24 --subnet fd00:10::/64 --ipv6",
		"gossip": "--opt discovery=gossip --opt remote_ips=198.18.0.11 --opt vni=2 --subnet 10.2.0.0/24",
		"six":    "--opt remote_ips=fd00:198:18::11,fd00:198:18::12 --opt vni=3 --opt vxlan_port=4790 --subnet 10.3.0.0/24",
		"quiet":  "--opt remote_ips=198.18.0.11,198.18.0.12 --opt vni=4 --subnet 10.4.0.0/24 --disable-dns",
		"inside": "--opt remote_ips=198.18.0.11,198.18.0.12 --opt vni=5 --subnet 10.5.0.0/24 --internal",
	}
	port := 8000
	for name, options := range kinds {
		port++
		for _, h := range l.Hosts() {
			labtest.Sh(t, h, "podman network create --driver vxlan --opt local_ip=auto --opt physical_interface=eth0 "+options+" "+name)
		}
		for _, h := range l.Hosts() {
			labtest.Sh(t, h, "podman run -d --name "+name+"-"+h.Name()+" -p "+fmt.Sprint(port)+":80 --network "+name+" localhost/web")
		}
	}
	awaitHealth(t, l.Hosts()...)
	out := labtest.Sh(t, l.Host("host-a"), "vxlanctl doctor; vxlanctl doctor gossip; vxlanctl doctor host-b; vxlanctl doctor --all; vxlanctl reload --dry-run")
	if strings.Count(out, "no fault found: ") != 4 || strings.Count(out, "\n") != 3 || !strings.Contains(out, "2 hosts") {
		t.Errorf("doctor printed\n%s", out)
	}
	testUpgradeFacts(t, l.Host("host-a"))
}

// What an upgrade to Podman 6 changes is said to those who have an older one.
func testUpgradeFacts(t *testing.T, h *lab.Host) {
	out := labtest.Sh(t, h, "podman --version; vxlanctl doctor --for podman=6")
	t.Log(out)
	var major, minor int
	if _, err := fmt.Sscanf(out, "podman version %d.%d", &major, &minor); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	isNewest := major > 6 || major == 6 && minor >= 1
	if strings.Contains(out, "since podman 6.0: ") != (major < 6) || strings.Contains(out, "since podman 6.1: ") == isNewest || strings.Contains(out, "nothing known") != isNewest {
		t.Errorf("doctor --for printed\n%s", out)
	}
}
