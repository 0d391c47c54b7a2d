package gossip

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// boundTransport is memberlist's transport with streams that leave from the address that it listens
// on, as its packets do. Otherwise the kernel picks the interface's primary address. Without a key
// the other hosts know this one by its address alone.
type boundTransport struct {
	*memberlist.NetTransport
	local netip.Addr
}

func newBoundTransport(c *memberlist.Config, local netip.Addr) (*boundTransport, error) {
	t, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{c.BindAddr}, BindPort: c.BindPort, Logger: c.Logger,
	})
	if err != nil {
		return nil, err
	}
	return &boundTransport{t, local}, nil
}

// DialAddressTimeout opens a stream from the bound address, from any port.
func (t *boundTransport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(t.local, 0))}
	return d.DialContext(context.Background(), "tcp", a.Addr)
}

// DialTimeout is DialAddressTimeout for callers that have no name.
func (t *boundTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}
