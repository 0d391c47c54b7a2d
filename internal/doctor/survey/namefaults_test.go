package survey_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel/netnstest"
)

// nameFaults keep questions for names from the agent of host-a. What is printed mends them.
var nameFaults = []hostFault{
	{name: "bridge's input",
		inject: "nft 'table bridge n1 { chain c { type filter hook input priority 0; udp dport 53 drop; }; }'",
		code:   "VX0803", says: "chain c of table bridge n1", quick: true},
	{name: "bridge's prerouting, by a port",
		inject: "nft \"table bridge n2 { chain c { type filter hook prerouting priority 0; iifname " + ownPort +
			" meta l4proto { tcp, udp } th dport 53 drop; }; }\"", code: "VX0803", says: "chain c of table bridge n2"},
	{name: "bridge's input, some",
		inject: "nft 'table bridge n3 { chain c { type filter hook input priority 0; " +
			"udp dport 53 udp length > 20 drop; }; }'",
		code: "VX0803", says: "chain c of table bridge n3"},
	{name: "answers at the bridge's output",
		inject: "nft 'table bridge n4 { chain c { type filter hook output priority 0; udp sport 53 drop; }; }'",
		code:   "VX0803", says: "chain c of table bridge n4"},
	{name: "port of a container",
		inject: "nft \"table netdev n5 { chain c { type filter hook ingress device " + ownPort +
			" priority 0; udp dport 53 drop; }; }\"", code: "VX0803", says: "chain c of table netdev n5"},
	{name: "ebtables", inject: "ebtables-nft -A INPUT -p 0x0800 --ip-proto udp --ip-dport 53 -j DROP", code: "VX0803",
		says: "table bridge filter", after: "nft delete table bridge filter"},
	{name: "redirected", inject: "nft 'table ip n6 { chain c { type nat hook prerouting priority -150; udp dport 53 " +
		"redirect to :5353; }; }'", code: "VX0803", says: "leads questions for names elsewhere: chain c of table ip n6"},
	{name: "redirected to another server",
		inject: otherServer + "; nft 'table ip n7 { chain c { type nat hook prerouting priority -150; iifname " +
			"\"br-vxlan-net\" udp dport 53 redirect to :5353; }; }'",
		code: "VX0803", says: "leads questions for names elsewhere: chain c of table ip n7", after: "pkill -x python3"},
	{name: "container's own rule",
		inject: "ip netns exec net-a nft 'table ip n8 { chain c { type nat hook output priority -100; udp dport 53 " +
			"dnat to 10.0.0.99; }; }'", code: "VX0409", says: "lead its questions for names elsewhere"},
	{name: "container's own rule of iptables-legacy",
		inject: "ip netns exec net-a iptables-legacy -t nat -A OUTPUT -p udp --dport 53 -j REDIRECT --to-ports 5353",
		code:   "VX0409", says: "lead its questions for names elsewhere"},
	{name: "not tracked", inject: "nft 'table ip n9 { chain c { type filter hook prerouting priority -300; " +
		"udp dport 53 notrack; }; }'",
		code: "VX0803", says: "from tracking, so they do not reach the agent: chain c of table ip n9"},
	{name: "not tracked, by iptables-legacy",
		inject: "iptables-legacy -t raw -A PREROUTING -p udp --dport 53 -j CT --notrack",
		code:   "VX0803", says: "raw of iptables-legacy"},
	{name: "not tracked, by iptables-nft", inject: "iptables-nft -t raw -A PREROUTING -p udp --dport 53 -j CT --notrack",
		code: "VX0803", says: "table ip raw", after: "nft delete table ip raw"},
	{name: "redirected by iptables-legacy",
		inject: "iptables-legacy -t mangle -A PREROUTING -p udp --dport 53 -j TPROXY --on-port 5353",
		code:   "VX0803", says: "mangle of iptables-legacy"},
	{name: "iptables-legacy", inject: "iptables-legacy -t raw -A PREROUTING -p udp --dport 53 -j DROP", code: "VX0803",
		says: "raw of iptables-legacy"},
}

// tryLegacyTables tries whether the kernel and this machine have the tables of iptables-legacy.
func tryLegacyTables(t *testing.T) error {
	t.Helper()
	ns := netnstest.New(t)
	out, err := exec.Command("nsenter", "--net="+ns, "iptables-legacy", "-t", "nat", "-L").CombinedOutput()
	if err != nil {
		return fmt.Errorf("iptables-legacy has no tables (CONFIG_IP_NF_IPTABLES_LEGACY): %w: %s", err, out)
	}
	return nil
}

// otherServer answers that there are no names.
const otherServer = `(python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 5353))
while True:
    q, a = s.recvfrom(512); s.sendto(q[:2] + b"\x81\x83" + q[4:], a)
' >/dev/null 2>&1 </dev/null &); until ss -Hlun sport = 5353 | grep -q .; do sleep 0.02; done`

// Who does not get answers from the network's name server is led to the rule that keeps them away.
func TestNamesKeptFromAgent(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 2)
	l.startNetwork("net", true)
	l.awaitHealth(t)
	a := l.hosts[0]
	a.sh("[ ! -e /proc/sys/net/bridge ] || sysctl -qw net.bridge.bridge-nf-call-iptables=0")
	noLegacy := tryLegacyTables(t)
	t.Run("iptables-legacy translates after the driver", func(t *testing.T) {
		if noLegacy != nil {
			t.Skip(noLegacy)
		}
		a.sh("iptables-legacy -t nat -A PREROUTING -p udp --dport 53 -j REDIRECT --to-ports 5353")
		a.awaitHealth(t) // the rule stays, and is not blamed for what follows
	})
	for _, f := range nameFaults {
		if !f.quick && os.Getenv("FAULTS") != "all" {
			continue
		}
		isMended := t.Run(f.name, func(t *testing.T) {
			if noLegacy != nil && strings.Contains(f.inject, "iptables-legacy") {
				t.Skip(noLegacy)
			}
			a.sh(f.inject)
			found := a.look(t, f.code, "host-a", f.says)
			if len(found.Evidence) == 0 || len(found.Mend) == 0 {
				t.Fatalf("no evidence or no mend: %s", fmt.Sprint(found))
			}
			a.sh(strings.Join(found.Mend, "\n"))
			a.awaitHealth(t)
			if f.after != "" {
				a.sh(f.after)
			}
		})
		if !isMended {
			return // it may be broken still
		}
	}
}
