package rtnl

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// CreateWireGuard makes a WireGuard device of the kernel's. The error is kernel.ErrNotSupported where the
// kernel has none. It is not a kernel.CreateLink, since the plugin makes none.
func (c *Conn) CreateWireGuard(name string) error {
	if err := c.newLink(kernel.Link{Name: name, Kind: kernel.KindWireGuard}); err != nil {
		return fmt.Errorf("ip link add %s type wireguard: %w", name, err)
	}
	return nil
}

// SetQueueLen sets how many packets may wait to leave by a link.
func (c *Conn) SetQueueLen(name string, packets uint32) error {
	if err := c.setLink(name, netlink.Uint32Attr(unix.IFLA_TXQLEN, packets)); err != nil {
		return fmt.Errorf("ip link set %s txqueuelen %d: %w", name, packets, err)
	}
	return nil
}

// dummyAddr is the IPv4 dummy address (RFC 7600, section 4.8), which no host has.
var dummyAddr = netip.AddrFrom4([4]byte{192, 0, 0, 8})

// LetIPv4In gives a device an address that nobody uses, so that the kernel takes in IPv4 packets which come
// by it from senders that are reached by another device. A device without an address of IPv4 does not pass
// its check of sources, unless that is off for all devices, even if it is loose (no_addr in
// __fib_validate_source, net/ipv4/fib_frontend.c). The address is of scope link: no packet leaves with it.
//
// It tells whether the device lacked it.
func (c *Conn) LetIPv4In(device string) (added bool, err error) {
	index, err := c.indexOf(device)
	if err == nil {
		m := addrMessage(unix.AF_INET, dummyAddr.BitLen(), 0, index)
		m[3] = unix.RT_SCOPE_LINK
		err = c.linkReader.Change(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, m,
			attrIP(unix.IFA_LOCAL, dummyAddr), attrIP(unix.IFA_ADDRESS, dummyAddr))
		added = err == nil
		err = ignoreExists(err)
	}
	if err != nil {
		return false, fmt.Errorf("ip address add %s/32 scope link dev %s: %w", dummyAddr, device, err)
	}
	return added, nil
}
