package doctortest

import (
	"fmt"
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
	{name: "tc of the other host steals VXLAN", inject: "tc qdisc add dev eth0 clsact; tc filter add dev eth0 ingress protocol ip u32 match ip protocol 17 0xff match ip dport 4789 0xffff action mirred egress redirect dev lo",
		look: "host-a", code: "VX0505", says: "ingress of eth0"},
	{name: "agent stopped", inject: "kill -STOP $(pgrep ^vxland)", code: "VX0701", says: "was stopped", mend: "kill -CONT $(pgrep ^vxland)", quick: true},
	{name: "agent killed", inject: "kill -9 $(pgrep ^vxland)", code: "VX0701", says: "does not run", quick: true},
	{name: "configuration refused", inject: "mkdir -p /etc/vxlan; echo 'prot = 7947' > /etc/vxlan/vxland.toml", code: "VX0710", says: "prot", mend: "rm /etc/vxlan/vxland.toml"},
	{name: "configuration refused, agent ended", inject: "mkdir -p /etc/vxlan; echo 'prot = 7947' > /etc/vxlan/vxland.toml; kill -9 $(pgrep ^vxland)", code: "VX0710", says: "prot",
		mend: "rm /etc/vxlan/vxland.toml; vxlanctl reload"},
	{name: "key that is none", inject: "mkdir -p /etc/vxlan; echo short > /etc/vxlan/key; chmod 600 /etc/vxlan/key; echo 'key_file = \"/etc/vxlan/key\"' > /etc/vxlan/vxland.toml", code: "VX0710", says: "key",
		mend: "rm /etc/vxlan/vxland.toml /etc/vxlan/key"},
	{name: "agent not installed", inject: "mv /usr/local/bin/vxland /tmp/; kill -9 $(pgrep ^vxland)", code: "VX0104", says: "vxland is not installed", mend: "mv /tmp/vxland /usr/local/bin/; vxlanctl reload"},
	{name: "agents' port taken", inject: "kill -9 $(pgrep ^vxland); (iperf3 -s -p 7947 >/dev/null 2>&1 </dev/null &); sleep 0.3", code: "VX0711", says: "iperf3"},
	{name: "entry of a remote container replaced", inject: "mac=$(bridge fdb show dev vxlan-net | awk '/dst 198.18.0.11/ && !/^00:00:00:00:00:00/ {print $1; exit}'); bridge fdb replace $mac dev vxlan-net dst 198.18.0.77 self permanent",
		code: "VX0403", says: "forwarding entries", quick: true},
	{name: "neighbour of a remote container replaced", inject: "ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:99 dev br-vxlan-net nud permanent", code: "VX0404", says: "neighbour"},
	{name: "questions for names dropped", inject: drop("inet", "input", "0", "iifname br-vxlan-net udp dport 53-65000 drop"), code: "VX0502", says: "names"},
	{name: "name server outside silent", inject: "echo nameserver 198.18.0.250 > /etc/resolv.conf", code: "VX0802", says: "198.18.0.250", mend: "true > /etc/resolv.conf"},
	{name: "other MTU", inject: recreate("--opt vni=100 --opt mtu=1400 --subnet 10.0.0.0/24"), code: "VX0605", says: "MTU", mend: recreate("--opt vni=100 --subnet 10.0.0.0/24")},
	{name: "other VNI", inject: recreate("--opt vni=109 --subnet 10.0.0.0/24"), code: "VX0306", says: "VNI", mend: recreate("--opt vni=100 --subnet 10.0.0.0/24")},
	{name: "other port", inject: recreate("--opt vni=100 --opt vxlan_port=4790 --subnet 10.0.0.0/24"), code: "VX0306", says: "port", mend: recreate("--opt vni=100 --subnet 10.0.0.0/24")},
	{name: "other cluster", inject: "mkdir -p /etc/vxlan; echo 'cluster = \"other\"' > /etc/vxlan/vxland.toml; vxlanctl reload", code: "VX0708", says: "label",
		mend: "rm /etc/vxlan/vxland.toml; vxlanctl reload"},
	{name: "blackhole route, VXLAN dropped too", inject: "ip route add blackhole 198.18.0.11; " + drop("inet", "input", "0", "udp dport 4789 drop"), code: "VX0203", says: "198.18.0.11",
		mend: "ip route delete blackhole 198.18.0.11; nft delete table inet block" + fmt.Sprint(blocks)},
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
	l := startWithAgents(t)
	for _, f := range agentFaults {
		t.Run(f.name, func(t *testing.T) { tryFault(t, l, f) })
	}
	t.Run("between the hosts", func(t *testing.T) { tryUnderlayFaults(t, l) })
}

// tryUnderlayFaults breaks what lies between hosts. No host is to blame, so doctor says what is lost.
func tryUnderlayFaults(t *testing.T, l *lab.Lab) {
	a, b := l.Host("host-a"), l.Host("host-b")
	ports := strings.Fields(mustUnderlay(t, l, "-br", "link", "show", "type", "veth"))
	if len(ports) == 0 {
		t.Fatal("the underlay has no ports")
	}
	t.Run("MTU of the path", func(t *testing.T) {
		mustUnderlay(t, l, "link", "set", "host-b", "mtu", "1400")
		if first, all := awaitFinding(t, a, "VX0303"); first.Code != "VX0303" || !strings.Contains(strings.Join(first.Evidence, ""), "1350") {
			t.Errorf("found %s", describe(all))
		}
		mustUnderlay(t, l, "link", "set", "host-b", "mtu", "1500")
		awaitHealth(t, a, b)
	})
}

func mustUnderlay(t *testing.T, l *lab.Lab, args ...string) string {
	t.Helper()
	out, err := l.UnderlayIP(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// On healthy hosts nothing is found, whatever kind of network they have.
func TestHealthyHosts(t *testing.T) {
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	kinds := map[string]string{
		"static": "--opt remote_ips=198.18.0.11,198.18.0.12 --opt vni=1 --subnet 10.1.0.0/24 --subnet fd00:10::/64 --ipv6",
		"gossip": "--opt discovery=gossip --opt remote_ips=198.18.0.11 --opt vni=2 --subnet 10.2.0.0/24",
		"six":    "--opt remote_ips=fd00:198:18::11,fd00:198:18::12 --opt vni=3 --opt vxlan_port=4790 --subnet 10.3.0.0/24",
		"quiet":  "--opt remote_ips=198.18.0.11,198.18.0.12 --opt vni=4 --subnet 10.4.0.0/24 --disable-dns",
		"inside": "--opt remote_ips=198.18.0.11,198.18.0.12 --opt vni=5 --subnet 10.5.0.0/24 --internal",
	}
	for name, options := range kinds {
		for _, h := range l.Hosts() {
			labtest.Sh(t, h, "podman network create --driver vxlan --opt local_ip=auto --opt physical_interface=eth0 "+options+" "+name)
		}
		for _, h := range l.Hosts() {
			labtest.Sh(t, h, "podman run -d --name "+name+"-"+h.Name()+" -p "+fmt.Sprint(8000+len(name)*10+len(options)%10)+":80 --network "+name+" localhost/web")
		}
	}
	awaitHealth(t, l.Hosts()...)
	out := labtest.Sh(t, l.Host("host-a"), "vxlanctl doctor; vxlanctl doctor gossip; vxlanctl doctor host-b; vxlanctl doctor --all; vxlanctl reload --dry-run")
	if strings.Count(out, "no fault found: ") != 4 || strings.Count(out, "\n") != 3 || !strings.Contains(out, "2 hosts") {
		t.Errorf("doctor printed\n%s", out)
	}
}
