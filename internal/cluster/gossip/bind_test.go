package gossip

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

// Two hosts whose VTEPs are not the primary addresses of their interfaces meet without a key, where
// a host knows another by its address alone. Packets as well as streams come from the VTEP.
func TestHostsMeetFromSecondaryAddresses(t *testing.T) {
	for name, prefix := range map[string]string{"IPv4": "198.18.9.", "IPv6": "fd00:9::"} {
		t.Run(name, func(t *testing.T) {
			a, b := newMultihomedHost(t, prefix, 1), newMultihomedHost(t, prefix, 2)
			a.shell(fmt.Sprintf("ip link add eth0 type veth peer name eth0 netns %s", b.path))
			for _, h := range []multihomedHost{a, b} {
				h.shell("ip link set eth0 up")
				if h.vtep.Is4() { // the first one is primary
					h.shell(fmt.Sprintf("ip address add %v/24 dev eth0; ip address add %v/24 dev eth0", h.primary, h.vtep))
				} else { // the last one is
					h.shell(fmt.Sprintf("ip address add %v/64 dev eth0 nodad; ip address add %v/64 dev eth0 nodad", h.vtep, h.primary))
				}
				netnstest.WaitForAddrs(t, h.path)
			}
			if route := a.shell(fmt.Sprintf("ip route get %v", b.vtep)); !strings.Contains(route, fmt.Sprintf("src %v ", a.primary)) {
				t.Fatalf("the kernel picks another source than the primary address: %s", route)
			}
			planes := []*Plane{a.plane(t, b.vtep), b.plane(t, a.vtep)}
			for _, p := range planes {
				t.Cleanup(runPlane(t, p))
				var names []string
				for i := range 100 { // too many for one packet
					names = append(names, hostName(i))
				}
				m := wiretest.Membership(hostAddr(1).Addr(), names...)
				m.VTEP = p.cfg.Bind.Addr()
				if err := p.Set(cluster.Local{Memberships: []cluster.Membership{m}}); err != nil {
					t.Fatal(err)
				}
			}
			for i, p := range planes {
				waitForSnapshot(t, p, func(s cluster.Snapshot) bool { return countEndpointsOf(s, planes[1-i].cfg.Host.Name()) == 100 })
				// Of a packet or a stream from the primary address this would tell.
				for _, r := range p.Health().Refused {
					t.Errorf("%v refused %+v", p, r)
				}
				peer, err := net.ResolveUDPAddr("udp", planes[1-i].cfg.Bind.String())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := p.memberlist.Ping(planes[1-i].cfg.key().String(), peer); err != nil {
					t.Errorf("by packets: %v", err)
				}
			}
		})
	}
}

// multihomedHost is a host that talks by the secondary address of its interface.
type multihomedHost struct {
	number        uint16
	path          string
	shell         func(string) string
	primary, vtep netip.Addr
}

func newMultihomedHost(t *testing.T, prefix string, i int) multihomedHost {
	path := netnstest.New(t)
	return multihomedHost{
		number: uint16(i), path: path, shell: netnstest.Shell(t, path),
		primary: netip.MustParseAddr(fmt.Sprint(prefix, 10+i)), vtep: netip.MustParseAddr(fmt.Sprint(prefix, 20+i)),
	}
}

// plane makes a plane without a key in the host's namespace.
func (h multihomedHost) plane(t *testing.T, peer netip.Addr) *Plane {
	t.Helper()
	c := Config{
		Host: NewLocalHost(wiretest.ID(h.number), hostName(int(h.number))), Bind: netip.AddrPortFrom(h.vtep, DefaultPort),
		Seeds: []netip.AddrPort{netip.AddrPortFrom(peer, DefaultPort)}, Log: slog.New(slog.DiscardHandler),
	}
	err := netns.Do(h.path, func() error {
		conf, err := c.memberlistConfig()
		if err != nil {
			return err
		}
		conf.Logger = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
		inner, err := newBoundTransport(conf, c.Bind.Addr(), slog.New(slog.DiscardHandler))
		c.transport = namespacedTransport{inner, h.path}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// namespacedTransport opens streams in a namespace.
type namespacedTransport struct {
	*boundTransport
	path string
}

func (n namespacedTransport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (conn net.Conn, err error) {
	err = netns.Do(n.path, func() error {
		conn, err = n.boundTransport.DialAddressTimeout(a, timeout)
		return err
	})
	return conn, err
}
