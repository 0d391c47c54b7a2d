package ethtool

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// txChecksum is the feature by which a VXLAN device leaves the inner packets' checksums to the card
// that sends the outer ones (NETIF_F_HW_CSUM). Without it the kernel computes them before it wraps
// a packet.
const txChecksum = "tx-checksum-ip-generic"

// Conn is a connection to ethtool in one network namespace. It is for one goroutine.
type Conn struct {
	socket *netlink.Conn
	family uint16 // the number by which the kernel knows ethtool
}

// Open connects to the namespace at nspath, or for "" to the one that the caller is in.
func Open(nspath string) (*Conn, error) {
	socket, err := netlink.Open(nspath, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, fmt.Errorf("open ethtool: %w", err)
	}
	c := &Conn{socket: socket}
	if c.family, err = c.findFamily(); err != nil {
		c.Close()
		return nil, fmt.Errorf("find ethtool's netlink, which needs Linux 5.6 with CONFIG_ETHTOOL_NETLINK: %w", err)
	}
	return c, nil
}

// Close closes the connection.
func (c *Conn) Close() { c.socket.Close() }

// genlmsghdr is a struct genlmsghdr (linux/genetlink.h).
func genlmsghdr(command uint8) []byte { return []byte{command, 1, 0, 0} }

func (c *Conn) findFamily() (uint16, error) {
	request := netlink.NewRequest(unix.GENL_ID_CTRL, 0)
	request.Raw(genlmsghdr(unix.CTRL_CMD_GETFAMILY)...)
	request.Text(unix.CTRL_ATTR_FAMILY_NAME, unix.ETHTOOL_GENL_NAME)
	attrs, err := c.execute(request)
	return netlink.Uint16(netlink.Find(attrs, unix.CTRL_ATTR_FAMILY_ID)), err
}

// execute returns the attributes of the message that answers a request.
func (c *Conn) execute(request *netlink.Builder) (attrs []byte, err error) {
	bodies, err := c.socket.Execute(request)
	if err != nil || len(bodies) == 0 {
		return nil, err
	}
	return bodies[0][min(len(genlmsghdr(0)), len(bodies[0])):], nil
}

// newRequest begins a request about a link.
func (c *Conn) newRequest(command uint8, netlinkFlags uint16, link string, flags uint32) *netlink.Builder {
	request := netlink.NewRequest(c.family, netlinkFlags)
	request.Raw(genlmsghdr(command)...)
	request.Attrs(netlink.NestAttr(unix.ETHTOOL_A_FEATURES_HEADER,
		netlink.TextAttr(unix.ETHTOOL_A_HEADER_DEV_NAME, link),
		netlink.Uint32Attr(unix.ETHTOOL_A_HEADER_FLAGS, flags)))
	return request
}

// TXChecksum tells whether a link leaves checksums to the card.
func (c *Conn) TXChecksum(link string) (bool, error) {
	attrs, err := c.execute(c.newRequest(unix.ETHTOOL_MSG_FEATURES_GET, 0, link, 0))
	if err != nil {
		return false, fmt.Errorf("read checksum offload of %s: %w", link, notFound(err))
	}
	// A list of the features that are on, without values.
	for _, bit := range netlink.Attrs(netlink.Find(attrs, unix.ETHTOOL_A_FEATURES_ACTIVE, unix.ETHTOOL_A_BITSET_BITS)) {
		if netlink.Text(netlink.Find(bit, unix.ETHTOOL_A_BITSET_BIT_NAME)) == txChecksum {
			return true, nil
		}
	}
	return false, nil
}

// SetTXChecksum switches whether a link leaves checksums to the card.
func (c *Conn) SetTXChecksum(want kernel.SetTXChecksum) error {
	bit := []netlink.Attr{netlink.TextAttr(unix.ETHTOOL_A_BITSET_BIT_NAME, txChecksum)}
	if want.On {
		bit = append(bit, netlink.BytesAttr(unix.ETHTOOL_A_BITSET_BIT_VALUE, nil)) // a flag
	}
	request := c.newRequest(unix.ETHTOOL_MSG_FEATURES_SET, unix.NLM_F_ACK, want.Name, unix.ETHTOOL_FLAG_OMIT_REPLY)
	request.Attrs(netlink.NestAttr(unix.ETHTOOL_A_FEATURES_WANTED,
		netlink.NestAttr(unix.ETHTOOL_A_BITSET_BITS, netlink.NestAttr(unix.ETHTOOL_A_BITSET_BITS_BIT, bit...))))
	if _, err := c.socket.Execute(request); err != nil {
		return fmt.Errorf("%s: %w", want, notFound(err))
	}
	return nil
}

// notFound returns kernel.ErrNotFound for the kernel's error.
func notFound(err error) error {
	if errors.Is(err, unix.ENODEV) {
		return kernel.ErrNotFound
	}
	return err
}
