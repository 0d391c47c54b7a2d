package encryptiontest

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
	"vxlan-driver/lab/packet"
)

// talk is text that containers send to each other all the time.
const talk = "all-that-containers-say"

// keepTalking lets a container send datagrams to others, and frames to all, some hundred times a second until the
// returned function is called.
func keepTalking(t *testing.T, from container, to ...container) (stop func()) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	var conns []net.Conn
	for _, c := range to {
		for _, a := range []netip.Addr{c.addr4, c.addr6} {
			checkErr(t, packet.In(from.ns, func() error {
				conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, port)))
				conns = append(conns, conn)
				return err
			}))
		}
	}
	p, err := packet.Open(from.ns, "eth0")
	checkErr(t, err)
	broadcast := packet.Ethernet(packet.Broadcast, from.mac, experimental, []byte(talk))
	var ended sync.WaitGroup
	ended.Go(func() {
		defer p.Close()
		for ; ctx.Err() == nil; time.Sleep(4 * time.Millisecond) {
			for _, c := range conns {
				_, _ = c.Write([]byte(talk)) // what does not get out is not what this is about
			}
			_ = p.Send(broadcast)
		}
		for _, c := range conns {
			c.Close()
		}
	})
	stop = sync.OnceFunc(func() { end(); ended.Wait() })
	t.Cleanup(stop)
	return stop
}

// fault is what happens to a host while its containers talk.
type fault struct {
	name   string
	script string // on the host, for both its encrypted networks; "": do
	do     func(t *testing.T, h *lab.Host)
	within time.Duration // until containers reach each other; 0: soon
}

const (
	killAgents    = "kill -9 $(pgrep -x vxland)"
	killWireGuard = "kill -9 $(pgrep -x wireguard-vxlan)"
	// leaveByUnderlay leads all entries past WireGuard.
	leaveByUnderlay = `for n in four six; do
		bridge fdb show dev vxlan-$n | grep ' via ' | while read -r mac dst vtep rest; do
			verb=replace; test $mac != 00:00:00:00:00:00 || verb=append
			bridge fdb $verb $mac dev vxlan-$n dst $vtep self permanent
		done
	done`
	withoutRules = "nft flush ruleset"
)

var faults = []fault{
	{name: "the agent is killed", script: killAgents},
	{name: "wireguard-go is killed", script: killWireGuard},
	{name: "wireguard-go is killed while there is no agent", script: whileFrozen(killWireGuard)},
	{name: "all rules are flushed", script: withoutRules},
	{name: "all rules are flushed while there is no agent", script: whileFrozen(withoutRules)},
	{name: "WireGuard's devices are set down", script: "for n in four six; do ip link set wg0-$n down; done"},
	{name: "WireGuard's devices are deleted", script: "for n in four six; do ip link del wg0-$n; done"},
	{name: "WireGuard's devices are deleted while there is no agent",
		script: whileFrozen("for n in four six; do ip link del wg0-$n; done")},
	{name: "entries lead past WireGuard", script: whileFrozen(leaveByUnderlay), within: entriesWithin()},
	{name: "the rule of routes by WireGuard is deleted",
		script: whileFrozen("ip -6 rule del oif wg0-six")},
	{name: "the agent is replaced",
		script: "cd /usr/local/bin; cp vxland vxland.new; mv vxland.new vxland; vxlanctl reload"},
	{name: "keys rotate", do: rotateKeys},
	{name: "the last containers go and the first ones come", do: func(t *testing.T, h *lab.Host) {
		for _, n := range []string{"four", "six"} {
			labtest.Sh(t, h, fmt.Sprintf("podman rm -f -t0 %s0; podman run -d --name %s0 --network %s localhost/web", n, n, n))
		}
	}},
}

// entriesWithin is how long entries that somebody has replaced may keep containers from each other. Programs do not use
// entries. Without programs the agent must set them right: it does not hear of them, and looks once a minute.
func entriesWithin() time.Duration {
	if labtest.UsesPrograms() {
		return soon
	}
	return 75 * time.Second
}

// whileFrozen is a script of what happens in a second in which the agent does nothing.
func whileFrozen(script string) string {
	return "trap '" + labtest.ThawAgent + "' EXIT; " + labtest.FreezeAgent + "; " + script + "; sleep 1"
}

// rotateKeys has the keys of all networks changed twice, and waits until that is done. Then the devices have the
// names again that other faults are about.
func rotateKeys(t *testing.T, h *lab.Host) {
	t.Helper()
	for _, slots := range [][2]int{{1, 0}, {0, 1}} {
		labtest.Sh(t, h, "vxlanctl encryption rotate")
		for _, n := range []string{"four", "six"} {
			labtest.Within(t, 40*time.Second, h, fmt.Sprintf(
				`grep -q '"WireGuard":"wg%d-%s"' /run/vxlan/networks/*/peers.json && ! ip link show wg%d-%s`,
				slots[0], n, slots[1], n))
		}
	}
}

// Whatever happens to a host, none of what its containers say is on the underlay, and soon they hear each other
// again. That the captures would show it is tried at the end: without rules, entries past WireGuard do lead there.
func TestFailsClosed(t *testing.T) {
	t.Parallel()
	l := startLab(t, 3)
	hosts := l.Hosts()[:2]
	a, b := hosts[0], hosts[1]
	first := startCapture(t, l.Hosts(), talk)
	pairs := make(map[string][]container)
	for i, name := range []string{"four", "six"} {
		createOn(t, hosts, name, 110+i, name == "six", encrypted)
		pairs[name] = []container{runContainer(t, a, name+"0", name, "")}
		// It knows no other yet.
		keepTalking(t, pairs[name][0], container{
			addr4: netip.MustParseAddr(fmt.Sprintf("10.%d.0.250", 110+i)),
			addr6: netip.MustParseAddr(fmt.Sprintf("fd00:%d::250", 110+i)),
		})
		pairs[name] = append(pairs[name], runContainer(t, b, name+"1", name, ""))
		keepTalking(t, pairs[name][1], pairs[name][0])
		awaitReach(t, pairs[name])
	}
	first.stop()
	first.checkNothingRead(t)
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) { f.strike(t, l, pairs) })
	}
	t.Run("a host has the network without encryption", func(t *testing.T) {
		strangerGetsNothing(t, l, l.Hosts()[2], pairs["four"])
	})
	t.Run("plaintext is injected", func(t *testing.T) { injectPlaintext(t, l, pairs["four"]) })
	t.Run("without the rules entries lead past WireGuard", func(t *testing.T) { leaveInPlaintext(t, l, pairs) })
}

// strike lets the fault happen to the first host of each pair.
func (f fault) strike(t *testing.T, l *lab.Lab, pairs map[string][]container) {
	for _, pair := range pairs {
		keepTalking(t, refreshed(t, pair[0]), pair[1])
	}
	c := startCapture(t, l.Hosts(), talk)
	began := time.Now()
	if f.do != nil {
		f.do(t, l.Hosts()[0])
	} else {
		labtest.Sh(t, l.Hosts()[0], f.script)
	}
	for name, pair := range pairs {
		awaitReachWithin(t, cmp.Or(f.within, soon), []container{refreshed(t, pair[0]), pair[1]})
		t.Logf("%s: its containers reach each other %.1f s after it began", name, time.Since(began).Seconds())
	}
	time.Sleep(300 * time.Millisecond)
	c.stop()
	c.checkNothingRead(t)
	if c.encryptedPackets() == 0 {
		t.Error("WireGuard carried nothing, so this proves nothing")
	}
}

// leaveInPlaintext does what two faults at once do, so that the captures have something to show.
func leaveInPlaintext(t *testing.T, l *lab.Lab, pairs map[string][]container) {
	a := l.Hosts()[0]
	labtest.Sh(t, a, labtest.FreezeAgent)
	defer labtest.Sh(t, a, labtest.ThawAgent)
	for _, pair := range pairs {
		keepTalking(t, refreshed(t, pair[0]), pair[1])
	}
	c := startCapture(t, l.Hosts(), talk)
	labtest.Sh(t, a, withoutRules+"; "+leaveByUnderlay)
	time.Sleep(time.Second)
	c.stop()
	if c.seen(talk) == nil {
		t.Error("the captures don't show it, so they prove nothing")
	}
}

// refreshed is a container as it is now: it may have been started anew, with other addresses.
func refreshed(t *testing.T, c container) container {
	t.Helper()
	network := strings.TrimRight(c.name, "01")
	c.ns = labtest.Namespace(t, c.host, c.name)
	c.addr4 = netip.MustParseAddr(labtest.Field(t, c.host, c.name, network, "IPAddress"))
	c.addr6 = netip.MustParseAddr(labtest.Field(t, c.host, c.name, network, "GlobalIPv6Address"))
	c.mac = openPort(t, c.ns, "eth0").MAC()
	return c
}

// strangerGetsNothing creates the network on a third host without encryption. It neither hears the others, nor do
// they hear it.
func strangerGetsNothing(t *testing.T, l *lab.Lab, h *lab.Host, pair []container) {
	createOn(t, []*lab.Host{h}, "four", 110, false, "")
	out := runContainer(t, h, "four2", "four", "")
	hears := openPort(t, out.ns, "eth0")
	inside := openPort(t, refreshed(t, pair[0]).ns, "eth0")
	stop := keepTalking(t, refreshed(t, pair[0]), pair[1])
	defer stop()
	c := startCapture(t, l.Hosts(), talk)
	const shout = "in plaintext to all of you"
	frame(t, out, packet.Broadcast, experimental, []byte(shout))
	if receives(t, hears, talk, 2*time.Second) {
		t.Error("a host without encryption gets what is said")
	}
	frame(t, out, packet.Broadcast, experimental, []byte(shout))
	if receives(t, inside, shout, time.Second) {
		t.Error("an encrypted network takes plaintext of a host that has it without encryption")
	}
	c.stop()
	c.checkNothingRead(t)
	said := labtest.Sh(t, h, "vxlanctl status || true") + labtest.Sh(t, pair[0].host, "vxlanctl status || true")
	if !strings.Contains(said, "encryption") {
		t.Errorf("status does not say that hosts have different options:\n%s", said)
	}
	labtest.Sh(t, h, "podman rm -f -t0 four2; podman network rm four")
}

// injectPlaintext sends from the underlay what a member would send on an unencrypted network.
func injectPlaintext(t *testing.T, l *lab.Lab, pair []container) {
	to := refreshed(t, pair[0])
	a, b := pair[0].host, pair[1].host
	mac, err := net.ParseMAC(labtest.Sh(t, a, "cat /sys/class/net/eth0/address"))
	checkErr(t, err)
	attacker := openPort(t, l.Host("outside").Netns(), "eth0")
	const text = "injected in plaintext"
	inner := packet.Ethernet(to.mac, pair[1].mac, experimental, []byte(text))
	from, at := netip.AddrPortFrom(b.Addr4(), 40000), netip.AddrPortFrom(a.Addr4(), 4789)
	forged := packet.UDP(from, at, packet.VXLAN(110, inner))
	attack := func() {
		checkErr(t, attacker.Send(packet.Ethernet(packet.MAC(mac), attacker.MAC(), packet.TypeIPv4, forged)))
	}
	p := openPort(t, to.ns, "eth0")
	checkDefence(t, rule{a, "inet", "plaintext_in", "plaintext of an encrypted network"}, attack,
		func(within time.Duration) bool { return receives(t, p, text, within) })
}
