package gossip

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// DefaultPort is the port, UDP and TCP, where nothing else is said. memberlist's
// own, 7946, is Docker Swarm's and Serf's.
const DefaultPort = 7947

// DefaultForgetAfter is how long an unreachable host's entries are kept. They
// cost a few kilobytes and hold the host's addresses, so that no other host
// hands them out while its containers may still run. A day outlasts a repair or
// a night in which nobody looks; a host that comes back later announces itself
// anew, so nothing is lost but the reservation.
const DefaultForgetAfter = 24 * time.Hour

// Config is what a Source needs to know.
type Config struct {
	Name string // of this host, unique in the cluster; at most 64 bytes of a DNS name
	// Bind is the one address to listen on, UDP and TCP, and the one the others
	// are told. It must be this host's own, not 0.0.0.0.
	Bind  netip.AddrPort
	Seeds []netip.AddrPort // hosts to find the others by; see SetSeeds
	// Keys encrypt and authenticate, see ParseKeys. Without any, only the hosts
	// of Seeds and Allowed are heard, by their addresses, which can be forged.
	Keys    []Key
	Allowed []netip.Addr
	// Label keeps clusters apart that share a wire; at most 64 bytes. Hosts with
	// another one are refused.
	Label       string
	ForgetAfter time.Duration // 0: DefaultForgetAfter
	Log         *slog.Logger

	transport memberlist.NodeAwareTransport // nil: the network
	version   uint8                         // 0: protocolVersion; tests speak another one
}

// maxLabel leaves room in each packet.
const maxLabel = 64

// complete checks a Config and fills in what is left out.
func (c Config) complete() (Config, error) {
	c.ForgetAfter = cmp.Or(c.ForgetAfter, DefaultForgetAfter)
	c.version = cmp.Or(c.version, protocolVersion)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := checkHostName(c.Name); err != nil {
		return c, fmt.Errorf("host name %q: %w", c.Name, err)
	}
	addr := c.Bind.Addr()
	if !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || addr.Is4In6() || c.Bind.Port() == 0 {
		return c, fmt.Errorf("gossip address %v: must be one address of this host, with a port", c.Bind)
	}
	if len(c.Label) > maxLabel {
		return c, fmt.Errorf("cluster label: has %d bytes, at most %d are allowed", len(c.Label), maxLabel)
	}
	if c.ForgetAfter < time.Minute || c.ForgetAfter > time.Duration(maxAge) {
		return c, errors.New("forget after: must be from a minute to 100 years")
	}
	return c, nil
}

// packetSize is the largest packet sent, in bytes of UDP payload: what passes a
// link of IPv6's smallest MTU, 1280 (RFC 8200, section 5), so that gossip is
// never cut up, whatever tunnel the hosts talk through.
const packetSize = 1200

// maxPacket is the longest message of ours that fits a packet, less memberlist's
// message type (1), checksum (5), encryption (29) and label (2 and the label).
func (c Config) maxPacket() int { return packetSize - 1 - 5 - 29 - 2 - len(c.Label) }

// streamTimeout bounds connecting and each transfer: a megabyte in a slow LAN,
// and no longer, as a host that vanished blocks whoever sends to it.
const streamTimeout = 5 * time.Second

// memberlist returns the library's configuration. It starts from its LAN
// profile, which is for hosts less than a few milliseconds apart.
func (c Config) memberlist() (*memberlist.Config, error) {
	m := memberlist.DefaultLANConfig()
	m.Name = c.Name
	m.BindAddr, m.BindPort = c.Bind.Addr().String(), int(c.Bind.Port())
	m.AdvertiseAddr, m.AdvertisePort = m.BindAddr, m.BindPort
	m.Label = c.Label
	m.UDPBufferSize = packetSize
	m.TCPTimeout = streamTimeout
	// One probe a second, an answer within half of it, and a suspicion of four
	// probes (times log10 of the number of hosts, if above 10): an unreachable host is
	// hidden after about 5 s with 3 hosts and 10 s with 100, while a host that
	// swaps or a link that flaps for a few seconds is not. Factor 3 instead of 6
	// for suspicions that nobody confirms, or those took half a minute.
	m.ProbeInterval, m.ProbeTimeout = time.Second, 500*time.Millisecond
	m.SuspicionMult, m.SuspicionMaxTimeoutMult = 4, 3
	// State goes straight to the members, and gossip repairs. Two rounds more a
	// second than the default cost nothing where there is nothing to say.
	m.GossipInterval, m.GossipNodes = 100*time.Millisecond, 3
	// Only digests travel here, and our own comparison runs each second.
	m.PushPullInterval = 30 * time.Second
	// A host may come back with another address under its name, once it is
	// known as dead.
	m.DeadNodeReclaimTime = time.Second
	// Packets are small and binary; LZW costs more than it saves.
	m.EnableCompression = false
	m.DelegateProtocolVersion, m.DelegateProtocolMin, m.DelegateProtocolMax = c.version, c.version, c.version
	if len(c.Keys) == 0 {
		return m, nil
	}
	var raw [][]byte
	for _, k := range c.Keys {
		raw = append(raw, k[:])
	}
	ring, err := memberlist.NewKeyring(raw, raw[0])
	if err != nil {
		return nil, fmt.Errorf("load keys: %w", err)
	}
	m.Keyring = ring
	return m, nil
}
