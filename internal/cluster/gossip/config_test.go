package gossip

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

func TestInvalidConfigIsRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no ID", func(c *Config) { c.Host = NewLocalHost(cluster.HostID{}, "a") }, "no ID"},
		{"no name", func(c *Config) { c.Host.SetName("") }, `host name ""`},
		{"a long name", func(c *Config) { c.Host.SetName(strings.Repeat("a.", 40) + "a") }, "over 64 bytes"},
		{"a name with a slash", func(c *Config) { c.Host.SetName("a/b") }, "letters"},
		{"all addresses", func(c *Config) { c.Bind = netip.MustParseAddrPort("0.0.0.0:7947") }, "one address of this host"},
		{"no address", func(c *Config) { c.Bind = netip.AddrPort{} }, "one address of this host"},
		{"no port", func(c *Config) { c.Bind = netip.MustParseAddrPort("198.18.0.1:0") }, "with a port"},
		{"a long label", func(c *Config) { c.Label = strings.Repeat("x", 65) }, "65 bytes"},
		{"forgetting at once", func(c *Config) { c.ForgetAfter = time.Second }, "from a minute"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Host: NewLocalHost(wiretest.ID(1), "a"), Bind: hostAddr(1)}
			tt.change(&c)
			if _, err := New(c); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRunReportsForeignAddress(t *testing.T) {
	p, err := New(Config{Host: NewLocalHost(wiretest.ID(1), "a"), Bind: netip.MustParseAddrPort("198.18.255.254:7947")})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // it may be tried again
		if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot assign requested address") {
			t.Errorf("got %v", err)
		}
	}
	if err := p.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "the host has left") {
		t.Errorf("got %v", err)
	}
}

// The longest message that goes as a packet, with the longest label, a key and a checksum, must not
// be longer than a packet: memnet refuses what is.
func TestLongestPacketFits(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		label := func(c *Config) { c.Label = strings.Repeat("l", maxLabel) }
		a, b := startHost(t, n, 1, label), startHost(t, n, 2, label)
		b.announce("b")
		a.waitUntilSees(3*second, "host-2: b")
		b.mu.Lock()
		to := b.peers.members[hostKey(1)]
		b.mu.Unlock()
		to.PMax = memberlist.ProtocolVersionMax
		if err := b.memberlist.SendBestEffort(&to, make([]byte, b.cfg.maxPacket())); err != nil {
			t.Error(err)
		}
		if err := b.memberlist.SendBestEffort(&to, make([]byte, b.cfg.maxPacket()+1)); err == nil {
			t.Error("there is room for more")
		}
	})
}
