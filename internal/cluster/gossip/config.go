package gossip

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster/gossip/guard"
	"vxlan-driver/internal/cluster/gossip/replica"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/clusterkey"
)

// DefaultPort is the default port, UDP and TCP. memberlist's own, 7946, is taken by Docker Swarm
// and Serf.
const DefaultPort = 7947

// DefaultForgetAfter is how long an unreachable host's entries are kept. They cost a few kilobytes
// and reserve the host's addresses, so that no other host hands them out while its containers may
// still run. A day outlasts a repair or a night without an operator. A host that comes back later
// announces itself anew, so nothing is lost but the reservation.
const DefaultForgetAfter = 24 * time.Hour

// Config is what a Plane needs to know.
type Config struct {
	Host *LocalHost
	// Bind is the address to listen on, UDP and TCP, and the one that the others use. It must be
	// this host's own, not 0.0.0.0.
	Bind  netip.AddrPort
	Seeds []netip.AddrPort // hosts to find the others by, besides those that Set lists
	// Keys encrypt and authenticate, see clusterkey.Parse. Without a key, messages are accepted only from
	// the hosts of Seeds and Allowed, by their addresses, which can be forged.
	Keys    []clusterkey.Key
	KeyFile *KeyFile // has the keys instead, and may change them
	Allowed []netip.Addr
	// Label keeps clusters on one underlay apart; at most 64 bytes. Hosts with another label are
	// refused.
	Label       string
	ForgetAfter time.Duration // 0: DefaultForgetAfter
	Log         *slog.Logger

	transport memberlist.NodeAwareTransport // nil: the network
	formats   wire.Range                    // zero: wire.Supported; tests speak others
	lastKind  wire.Kind                     // of messages that are known; zero: all; tests know fewer
	limits    replica.Limits                // zero: replica.DefaultLimits; tests have lower ones
	newRecord replica.NewRecord             // nil: wire.NewRecord; tests announce more
	// shareRecord is replica.Config.Share.
	shareRecord func(wire.Record) wire.Record
}

// maxLabel leaves room for a message in each packet.
const maxLabel = 64

// withDefaults fills in what is left out, and checks the result.
func (c Config) withDefaults() (Config, error) {
	c.ForgetAfter = cmp.Or(c.ForgetAfter, DefaultForgetAfter)
	c.formats = cmp.Or(c.formats, wire.Supported)
	if c.newRecord == nil {
		c.newRecord = wire.NewRecord
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Host == nil || c.Host.ID.IsZero() {
		return c, errors.New("the host has no ID")
	}
	if err := wire.CheckHostName(c.Host.Name()); err != nil {
		return c, fmt.Errorf("host name %q: %w", c.Host.Name(), err)
	}
	addr := c.Bind.Addr()
	if !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || addr.Is4In6() || c.Bind.Port() == 0 {
		return c, fmt.Errorf("gossip address %v: must be one address of this host, with a port", c.Bind)
	}
	if len(c.Label) > maxLabel {
		return c, fmt.Errorf("cluster label: has %d bytes, at most %d are allowed", len(c.Label), maxLabel)
	}
	if c.ForgetAfter < time.Minute || c.ForgetAfter > time.Duration(wire.MaxAge) {
		return c, errors.New("forget after: must be from a minute to 100 years")
	}
	return c, nil
}

// key is that of this host's record.
func (c Config) key() wire.Key { return wire.Key{ID: c.Host.ID, Addr: c.Bind} }

// packetSize is the largest packet sent, in bytes of UDP payload. It passes a link of IPv6's
// smallest MTU, 1280 (RFC 8200, section 5), so gossip is never fragmented, whatever tunnel the
// hosts talk through.
const packetSize = 1200

// maxPacket is the longest message of ours that fits a packet, less memberlist's message type (1),
// checksum (5), encryption (29) and label (2 and the label).
func (c Config) maxPacket() int { return packetSize - 1 - 5 - 29 - 2 - len(c.Label) }

// memberlistConfig returns the library's configuration. It starts from its LAN profile, which is
// for hosts less than a few milliseconds apart.
func (c Config) memberlistConfig() (*memberlist.Config, error) {
	m := memberlist.DefaultLANConfig()
	m.Name = c.key().String()
	m.BindAddr, m.BindPort = c.Bind.Addr().String(), int(c.Bind.Port())
	m.AdvertiseAddr, m.AdvertisePort = m.BindAddr, m.BindPort
	m.Label = c.Label
	m.UDPBufferSize = packetSize
	m.TCPTimeout = guard.StreamTimeout
	// One probe a second, an answer within half of it, and a suspicion of four probes (times log10
	// of the number of hosts, if above 10). Then it is asked itself for half a second. So an unreachable
	// host is hidden after about 6 s with 3 hosts and 10 s with 100. A host that swaps, or a link that
	// flaps for a few seconds, is not hidden. Unconfirmed suspicions last 3 times as long, not the
	// default 6, which took half a minute.
	m.ProbeInterval, m.ProbeTimeout = time.Second, 500*time.Millisecond
	m.SuspicionMult, m.SuspicionMaxTimeoutMult = 4, 3
	m.GossipInterval, m.GossipNodes = gossipInterval, 3
	// Push-pull carries only digests, and the hashes are compared each second.
	m.PushPullInterval = 30 * time.Second
	// Packets are small and binary; LZW costs more than it saves.
	m.EnableCompression = false
	// The library demands that all hosts accept what each of them speaks, which a cluster that is
	// upgraded host by host cannot promise. So this is the same for ever, and a host declares its
	// formats as its metadata.
	m.DelegateProtocolVersion, m.DelegateProtocolMin, m.DelegateProtocolMax = 1, 1, 1
	if c.KeyFile != nil {
		ring, err := c.KeyFile.keyring()
		m.Keyring = ring
		return m, err
	}
	if !c.hasKeys() {
		return m, nil
	}
	ring, err := newKeyring(c.Keys)
	m.Keyring = ring
	return m, err
}

func (c Config) hasKeys() bool { return c.KeyFile != nil || len(c.Keys) > 0 }
