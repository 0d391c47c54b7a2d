package conntrack

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

const udp, sctp = unix.IPPROTO_UDP, unix.IPPROTO_SCTP

// host is a namespace with two addresses of its own, and containers' addresses that are its own too.
type host struct {
	testing.TB
	path string
	sh   func(string) string
	*Conn
}

func newHost(t testing.TB) host {
	t.Helper()
	path := netnstest.New(t)
	sh := netnstest.Shell(t, path)
	sh(`ip link set lo up; for a in 198.18.0.1 198.18.0.2 10.0.0.2 10.0.0.3; do ip address add $a/32 dev lo; done
		for a in 2001:db8::1 fd00::2 fd00::3; do ip address add $a/128 dev lo nodad; done
		nft add table inet t; nft 'add map inet t m4 { type inet_proto . inet_service : ipv4_addr . inet_service; }'
		nft 'add map inet t m6 { type inet_proto . inet_service : ipv6_addr . inet_service; }'
		nft 'add chain inet t c { type nat hook output priority -100; }'
		nft 'add rule inet t c fib daddr type local dnat ip to meta l4proto . th dport map @m4'
		nft 'add rule inet t c fib daddr type local dnat ip6 to meta l4proto . th dport map @m6'`)
	netnstest.WaitForAddrs(t, path)
	conn, err := Open(path, func(addrs []netip.Addr) ([]netip.Addr, error) {
		return slices.DeleteFunc(addrs, func(a netip.Addr) bool { return a == netip.MustParseAddr("203.0.113.1") }), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return host{t, path, sh, conn}
}

// send sends a packet from one address and port to another.
func (h host) send(from, to string) {
	h.Helper()
	err := netns.Do(h.path, func() error {
		c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("x"))
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
}

// track makes the kernel track a flow that it has not seen.
func (h host) track(flows ...flow) {
	h.Helper()
	for some := range slices.Chunk(flows, deletionsAtOnce) {
		var batch netlink.Batch
		for _, f := range some {
			batch.Message(messageType(0), unix.NLM_F_CREATE, func() {
				batch.Raw(nfgenmsg(familyOf(f.orig.src.Addr()))...)
				batch.Attrs(tupleAttr(ctaTupleOrig, f.orig), tupleAttr(ctaTupleReply, f.reply))
				batch.Uint32BE(7, 300) // CTA_TIMEOUT
			})
		}
		if refusals, err := h.socket.ExecuteBatch(&batch); err != nil || len(refusals) > 0 {
			h.Fatal(refusals, err)
		}
	}
}

func tupleAttr(typ uint16, t tuple) netlink.Attr {
	dst := uint16(ctaIP4Dst)
	if t.dst.Addr().Is6() {
		dst = ctaIP6Dst
	}
	ips := append(slices.Clone(srcAttr(t.src.Addr())), netlink.BytesAttr(dst, t.dst.Addr().AsSlice())...)
	binary.NativeEndian.PutUint16(ips, uint16(len(ips)))
	return netlink.NestAttr(typ, ips, netlink.NestAttr(ctaTupleProto, netlink.Uint8Attr(ctaProtoNum, t.protocol),
		netlink.Uint16BEAttr(ctaProtoSrcPort, t.src.Port()), netlink.Uint16BEAttr(ctaProtoDstPort, t.dst.Port())))
}

// newFlow is a flow that target answers.
func newFlow(protocol uint8, from, to, target string) flow {
	f := flow{orig: tuple{protocol, netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)}}
	f.reply = tuple{protocol, netip.MustParseAddrPort(target), f.orig.src}
	return f
}

// answers lists who answers the flows from an address and port.
func (h host) answers(protocol uint8, from string) (all []string) {
	h.Helper()
	src := netip.MustParseAddrPort(from)
	flows, err := h.list(query{family: familyOf(src.Addr()), protocol: protocol})
	if err != nil {
		h.Fatal(err)
	}
	for _, f := range flows {
		if f.orig.src == src {
			all = append(all, f.reply.src.String())
		}
	}
	return all
}

func published(protocol uint8, host, target string) kernel.Publication {
	return kernel.Publication{Protocol: protocol, Host: netip.MustParseAddrPort(host), Target: netip.MustParseAddrPort(target)}
}

func anywhere(protocol uint8, port uint16, target string) kernel.Publication {
	p := published(protocol, "0.0.0.0:1", target)
	p.Host = netip.AddrPortFrom(netip.Addr{}, port)
	return p
}

// A client keeps its port. It reaches the container that a port leads to today, wherever the port
// led when the client sent its first packet.
func TestFlowFollowsPort(t *testing.T) {
	for _, c := range []struct{ client, host, old, now, m string }{
		{"198.18.0.2:4000", "198.18.0.1:53", "10.0.0.2", "10.0.0.3", "m4"},
		{"[2001:db8::1]:4000", "[2001:db8::1]:53", "fd00::2", "fd00::3", "m6"},
	} {
		h := newHost(t)
		now := netip.AddrPortFrom(netip.MustParseAddr(c.now), 5353)
		step := func(want string) {
			t.Helper()
			h.send(c.client, c.host)
			if got := h.answers(udp, c.client); !slices.Equal(got, []string{want}) {
				t.Errorf("%v answers, want %s", got, want)
			}
		}
		forget := func(target string) {
			t.Helper()
			if err := h.DeleteFlows(kernel.DeleteFlows{Stale: []kernel.Publication{anywhere(udp, 53, target)}}); err != nil {
				t.Fatal(err)
			}
		}
		step(c.host) // nobody
		h.sh("nft 'add element inet t " + c.m + " { udp . 53 : " + c.old + " . 53 }'")
		step(c.host) // still nobody: this is what a user meets
		old := netip.AddrPortFrom(netip.MustParseAddr(c.old), 53).String()
		forget(old)
		step(old)
		h.sh("nft 'delete element inet t " + c.m + " { udp . 53 : " + c.old + " . 53 }; add element inet t " + c.m + " { udp . 53 : " + c.now + " . 5353 }'")
		step(old)
		forget(now.String())
		step(now.String())
		forget(now.String())
		if got := h.answers(udp, c.client); !slices.Equal(got, []string{now.String()}) {
			t.Errorf("a flow that leads to the port's target is forgotten: %v", got)
		}
	}
}

// forEachSize runs a test beside few flows, which are listed together, and beside many.
func forEachSize(t *testing.T, test func(*testing.T, host)) {
	for name, others := range map[string]int{"few": 0, "many": smallTable + 1} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			for i := range others {
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 19, byte(i >> 8), byte(i)}), 1000).String()
				h.track(newFlow(udp, from, "198.18.0.1:1", "10.0.0.9:1"))
			}
			test(t, h)
		})
	}
}

// Only flows to the port, of its protocol, and to this host are forgotten.
func TestOtherFlowsStay(t *testing.T) { forEachSize(t, testOtherFlowsStay) }

func testOtherFlowsStay(t *testing.T, h host) {
	stays := map[string]flow{
		"to another port":              newFlow(udp, "198.18.0.9:1", "198.18.0.1:54", "10.0.0.2:53"),
		"to another host":              newFlow(udp, "198.18.0.9:2", "203.0.113.1:53", "203.0.113.1:53"),
		"to another address of this":   newFlow(udp, "198.18.0.9:3", "198.18.0.2:500", "10.0.0.2:500"),
		"to the target":                newFlow(udp, "198.18.0.9:4", "198.18.0.1:53", "10.0.0.3:53"),
		"of TCP":                       newFlow(unix.IPPROTO_TCP, "198.18.0.9:5", "198.18.0.1:53", "10.0.0.2:53"),
		"of SCTP to a port of UDP":     newFlow(sctp, "198.18.0.9:6", "198.18.0.1:53", "10.0.0.2:53"),
		"over IPv6":                    newFlow(udp, "[2001:db8::9]:7", "[2001:db8::1]:53", "[fd00::2]:53"),
		"from the port":                newFlow(udp, "198.18.0.1:53", "198.18.0.9:8", "198.18.0.9:8"),
		"of another container's names": newFlow(udp, "10.0.0.9:9", "10.0.0.10:53", "10.0.0.10:53"),
	}
	goes := []flow{
		newFlow(udp, "198.18.0.9:11", "198.18.0.2:53", "10.0.0.2:53"),
		newFlow(udp, "127.0.0.1:12", "127.0.0.1:53", "127.0.0.1:53"),
		newFlow(udp, "198.18.0.9:13", "198.18.0.1:500", "10.0.0.2:500"),
		newFlow(sctp, "198.18.0.9:14", "198.18.0.1:2905", "10.0.0.2:2905"),
	}
	h.ownAddrs = func(addrs []netip.Addr) ([]netip.Addr, error) {
		return slices.DeleteFunc(addrs, func(a netip.Addr) bool {
			return !slices.Contains([]string{"198.18.0.1", "198.18.0.2", "2001:db8::1"}, a.String())
		}), nil
	}
	for _, f := range stays {
		h.track(f)
	}
	h.track(goes...)
	err := h.DeleteFlows(kernel.DeleteFlows{Stale: []kernel.Publication{
		anywhere(udp, 53, "10.0.0.3:53"), published(udp, "198.18.0.1:500", "10.0.0.3:500"), anywhere(sctp, 2905, "10.0.0.3:2905"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range stays {
		if got := h.answers(f.orig.protocol, f.orig.src.String()); len(got) != 1 {
			t.Errorf("a flow %s is forgotten", name)
		}
	}
	for _, f := range goes {
		if got := h.answers(f.orig.protocol, f.orig.src.String()); len(got) != 0 {
			t.Errorf("the flow from %s is not forgotten", f.orig.src)
		}
	}
}

// A port may be one container's on one address, and another's on all. Neither's flows are stale.
func TestPortOfTwoContainers(t *testing.T) {
	at, all := published(udp, "198.18.0.1:53", "10.0.0.2:53"), anywhere(udp, 53, "10.0.0.3:53")
	for _, ports := range [][]kernel.Publication{{at, all}, {all, at}} {
		h := newHost(t)
		right := []flow{newFlow(udp, "198.18.0.9:1", "198.18.0.1:53", "10.0.0.2:53"), newFlow(udp, "198.18.0.9:2", "198.18.0.2:53", "10.0.0.3:53")}
		wrong := []flow{newFlow(udp, "198.18.0.9:3", "198.18.0.1:53", "10.0.0.3:53"), newFlow(udp, "198.18.0.9:4", "198.18.0.2:53", "10.0.0.2:53")}
		h.track(slices.Concat(right, wrong)...)
		if err := h.DeleteFlows(kernel.DeleteFlows{Stale: ports}); err != nil {
			t.Fatal(err)
		}
		for i, f := range slices.Concat(right, wrong) {
			if stays, want := len(h.answers(udp, f.orig.src.String())) == 1, i < len(right); stays != want {
				t.Errorf("the flow from %s to %s that %s answers stays: %v, want %v", f.orig.src, f.orig.dst, f.reply.src, stays, want)
			}
		}
	}
}

// With a container its flows go, those too that it began: their answers come to the host's port.
func TestFlowsOfContainerGo(t *testing.T) { forEachSize(t, testFlowsOfContainerGo) }

func testFlowsOfContainerGo(t *testing.T, h host) {
	came := newFlow(udp, "198.18.0.9:1", "198.18.0.1:51820", "10.0.0.2:51820")
	began := newFlow(udp, "10.0.0.2:51820", "198.18.0.9:51820", "198.18.0.9:51820")
	began.reply.dst = netip.MustParseAddrPort("198.18.0.1:51820")
	tcp, another := newFlow(unix.IPPROTO_TCP, "198.18.0.9:2", "198.18.0.1:80", "10.0.0.2:80"), newFlow(udp, "198.18.0.9:3", "198.18.0.1:53", "10.0.0.3:53")
	h.track(came, began, tcp, another)
	err := h.DeleteFlows(kernel.DeleteFlows{Of: []kernel.FlowEnd{{Protocol: udp, Addr: netip.MustParseAddr("10.0.0.2")}}})
	if err != nil {
		t.Fatal(err)
	}
	for f, want := range map[*flow]int{&came: 0, &began: 0, &tcp: 1, &another: 1} {
		if got := h.answers(f.orig.protocol, f.orig.src.String()); len(got) != want {
			t.Errorf("%s to %s: %d flows, want %d", f.orig.src, f.orig.dst, len(got), want)
		}
	}
}

// A table of 1,000 flows is read as a whole. Of 100,000 half go to one port and are all right.
func BenchmarkDeleteFlows(b *testing.B) {
	for name, c := range map[string]kernel.DeleteFlows{
		"other port":    {Stale: []kernel.Publication{anywhere(udp, 500, "10.0.0.3:500")}},
		"other address": {Of: []kernel.FlowEnd{{Protocol: udp, Addr: netip.MustParseAddr("10.0.0.3")}}},
		"same port":     {Stale: []kernel.Publication{anywhere(udp, 53, "10.0.0.2:53")}},
	} {
		for _, count := range []int{0, 1_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", name, count), func(b *testing.B) {
				h := newHost(b)
				for i := range count / 2 {
					from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 19, byte(i >> 8), byte(i)}), 1000).String()
					h.track(newFlow(udp, from, "198.18.0.1:53", "10.0.0.2:53"), newFlow(udp, from, "198.18.0.1:54", "10.0.0.2:54"))
				}
				for b.Loop() {
					if err := h.DeleteFlows(c); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
