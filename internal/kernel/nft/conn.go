package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// bufferSize holds a transaction of some 100,000 elements, in bytes. It is a limit, not an
// allocation.
const bufferSize = 64 << 20

// Conn is a connection to the nftables of one network namespace. It is for one goroutine.
type Conn struct {
	socket *netlink.Conn
	nspath string
}

// Open connects to the namespace at nspath, or for "" to the one that the caller is in.
func Open(nspath string) (*Conn, error) {
	socket, err := netlink.Open(nspath, unix.NETLINK_NETFILTER, netlink.BufferSizes(bufferSize)...)
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return &Conn{socket, nspath}, nil
}

// Close closes the connection.
func (c *Conn) Close() { c.socket.Close() }

// messageType is the type of a message of nftables among those of nfnetlink.
func messageType(typ uint16) uint16 { return unix.NFNL_SUBSYS_NFTABLES<<8 | typ }

// newRequest begins a request about what a family has.
func newRequest(typ, flags uint16, family kernel.Family) *netlink.Builder {
	m := netlink.NewRequest(messageType(typ), flags)
	m.Raw(nfgenmsg(family)...)
	return m
}

// headerLen is the length of a struct nfgenmsg.
const headerLen = 4

// nfgenmsg is a struct nfgenmsg.
func nfgenmsg(f kernel.Family) []byte {
	number := byte(unix.NFPROTO_INET)
	switch f {
	case kernel.FamilyBridge:
		number = unix.NFPROTO_BRIDGE
	case kernel.FamilyNetdev:
		number = unix.NFPROTO_NETDEV
	case kernel.FamilyIP:
		number = unix.NFPROTO_IPV4
	case kernel.FamilyIP6:
		number = unix.NFPROTO_IPV6
	case kernel.FamilyARP:
		number = unix.NFPROTO_ARP
	}
	return []byte{number, unix.NFNETLINK_V0, 0, 0}
}

// execute returns the attributes of each message that answers a request.
func (c *Conn) execute(request *netlink.Builder) (answers [][]byte, err error) {
	bodies, err := c.socket.Execute(request)
	return withoutHeaders(bodies), err
}

func withoutHeaders(bodies [][]byte) (answers [][]byte) {
	for _, b := range bodies {
		answers = append(answers, b[min(headerLen, len(b)):])
	}
	return answers
}

func isMissing(err error) bool { return errors.Is(err, unix.ENOENT) }
