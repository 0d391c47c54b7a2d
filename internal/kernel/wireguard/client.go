package wireguard

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"vxlan-driver/internal/kernel/netns"
)

// client speaks with devices, the kernel's by netlink, and wireguard-go's by a socket.
type client struct{ *wgctrl.Client }

// withClient calls f with a client of the host's namespace. It is opened each time: one that was opened
// before the kernel had loaded its module finds no device of the kernel's.
func (h *Host) withClient(f func(client) error) error {
	var c *wgctrl.Client
	err := netns.DoIn(h.Namespace, func() (err error) {
		c, err = wgctrl.New()
		return err
	})
	if err != nil {
		return err
	}
	defer c.Close()
	return f(client{c})
}

// isNotThere tells whether an error says that there is no device of the name, or nobody at its socket.
func isNotThere(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// read returns a device's state.
func (c client) read(name string) (State, error) {
	d, err := c.Device(name)
	if err != nil {
		return State{}, err
	}
	s := State{Implementation: InKernel, Port: uint16(d.ListenPort), Running: true}
	if d.Type == wgtypes.Userspace {
		s.Implementation = WireGuardGo
	}
	if d.PrivateKey != (wgtypes.Key{}) {
		s.PublicKey = Key(d.PublicKey)
	}
	for _, p := range d.Peers {
		s.Peers = append(s.Peers, peerState(p))
	}
	slices.SortFunc(s.Peers, func(a, b PeerState) int { return bytes.Compare(a.PublicKey[:], b.PublicKey[:]) })
	return s, nil
}

func peerState(p wgtypes.Peer) PeerState {
	s := PeerState{PublicKey: Key(p.PublicKey), Received: uint64(p.ReceiveBytes), Sent: uint64(p.TransmitBytes)}
	if p.Endpoint != nil {
		e := p.Endpoint.AddrPort()
		s.Endpoint = netip.AddrPortFrom(e.Addr().Unmap(), e.Port())
	}
	if p.LastHandshakeTime.Unix() > 0 { // both implementations say 1970 for never
		s.LastHandshake = p.LastHandshakeTime
	}
	for _, a := range p.AllowedIPs {
		if prefix, ok := toPrefix(a); ok {
			s.AllowedIPs = append(s.AllowedIPs, prefix)
		}
	}
	slices.SortFunc(s.AllowedIPs, netip.Prefix.Compare)
	return s
}

// configure sets what is not nil.
func (c client) configure(name string, key *Key, port *uint16) error {
	var config wgtypes.Config
	if key != nil {
		k := wgtypes.Key(*key)
		config.PrivateKey = &k
	}
	if port != nil {
		n := int(*port)
		config.ListenPort = &n
	}
	return c.apply(name, config)
}

// apply changes a device. wgctrl has wireguard-go's errors as text alone.
func (c client) apply(name string, config wgtypes.Config) error {
	err := c.ConfigureDevice(name, config)
	if err == nil {
		return nil
	}
	if _, number, ok := strings.Cut(err.Error(), "wguser: errno="); ok {
		var n int
		if _, scanErr := fmt.Sscan(strings.TrimPrefix(number, "-"), &n); scanErr == nil {
			return syscall.Errno(n)
		}
	}
	return err
}

func toPrefix(n net.IPNet) (netip.Prefix, bool) {
	a, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones), ok
}

func toIPNets(prefixes []netip.Prefix) (nets []net.IPNet) {
	for _, p := range prefixes {
		p = p.Masked()
		nets = append(nets, net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
	}
	return nets
}
