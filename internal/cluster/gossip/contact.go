package gossip

import (
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// Contact implements cluster.ContactReporter.
func (p *Plane) Contact(host cluster.Host) cluster.Contact {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.contacts[contactKey{host.ID, host.Addr}]
}

// contactKey is a host by one of its addresses, whatever its port.
type contactKey struct {
	id   cluster.HostID
	addr netip.Addr
}

func contactKeyOf(host wire.Key) contactKey { return contactKey{host.ID, host.Addr.Addr()} }

// AckPayload returns nothing to send along with the answer to a probe (memberlist.PingDelegate).
func (d delegate) AckPayload() []byte { return nil }

// NotifyPingComplete notes how long a probe and its answer took. Each second memberlist probes one
// member, so this costs no packet.
func (d delegate) NotifyPingComplete(n *memberlist.Node, took time.Duration, _ []byte) {
	host := contactKeyOf(nodeKey(n))
	d.mu.Lock()
	defer d.mu.Unlock()
	if contact, known := d.contacts[host]; known {
		contact.RoundTrip, contact.Measured = took, boottime.Now()
		d.contacts[host] = contact
	}
}

// beginContactLocked notes since when a host is reachable. One that restarts within seconds is not
// missed, and stays so.
func (p *Plane) beginContactLocked(host wire.Key) {
	key := contactKeyOf(host)
	if _, known := p.contacts[key]; !known {
		p.contacts[key] = cluster.Contact{Since: boottime.Now()}
	}
}
