package kernel

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// Publication is a port of this host that leads to a container's.
type Publication struct {
	Protocol uint8          // its number (RFC 5237)
	Host     netip.AddrPort // without an address: on every one of the host
	Target   netip.AddrPort
}

// FlowEnd is an address of a container, and the protocol that it is used by.
type FlowEnd struct {
	Protocol uint8
	Addr     netip.Addr
}

// DeleteFlows makes connection tracking forget flows. Its entry for a flow keeps the translation
// that was found for the first packet, as long as packets come.
type DeleteFlows struct {
	Stale []Publication // flows to these ports that lead elsewhere, or nowhere
	Of    []FlowEnd     // flows that these take part in
}

func (DeleteFlows) isChange() {}

// IsEmpty tells whether there is nothing to do.
func (c DeleteFlows) IsEmpty() bool { return len(c.Stale) == 0 && len(c.Of) == 0 }

// String prints commands that do about the same: `conntrack -D` cannot leave out the flows that
// lead to the target.
func (c DeleteFlows) String() string {
	var lines []string
	for _, p := range c.Stale {
		command := fmt.Sprintf("conntrack -D -p %s --orig-port-dst %d", protocolName(p.Protocol), p.Host.Port())
		if p.Host.Addr().IsValid() {
			command += " -d " + p.Host.Addr().String()
		}
		lines = append(lines, fmt.Sprintf("%s # not to %s", command, p.Target))
	}
	for _, e := range c.Of {
		lines = append(lines, fmt.Sprintf("conntrack -D -p %s --reply-src %s; conntrack -D -p %[1]s --orig-src %[2]s",
			protocolName(e.Protocol), e.Addr))
	}
	return strings.Join(lines, "\n")
}

// PublishedBy returns the port that an element publishes, if it is one of those that do.
func PublishedBy(e Element) (p Publication, ok bool) {
	key, value := e.Key.First(), e.Value.First()
	addrLen := partLen(partIP4)
	if e.Set == Ports6 || e.Set == PortsAt6 {
		addrLen = partLen(partIP6)
	}
	var host netip.Addr
	switch {
	case e.Set == PortsAt4 || e.Set == PortsAt6:
		host, key = addrFromBytes(key[:addrLen]), key[addrLen:]
	case e.Set != Ports4 && e.Set != Ports6:
		return Publication{}, false
	}
	const word = 4 // each part of a key fills a multiple of it
	return Publication{
		Protocol: key[0],
		Host:     netip.AddrPortFrom(host, binary.BigEndian.Uint16(key[word:])),
		Target:   netip.AddrPortFrom(addrFromBytes(value[:addrLen]), binary.BigEndian.Uint16(value[addrLen:])),
	}, true
}
