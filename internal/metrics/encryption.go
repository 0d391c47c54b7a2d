package metrics

import (
	"net/netip"
	"strings"

	"vxlan-driver/internal/agentapi"
)

// tunnelPeer is another host on an encrypted network, on all of its WireGuard devices.
type tunnelPeer struct {
	current        agentapi.WireGuardPeer // on the device by which packets leave
	received, sent uint64
}

// addEncryption adds what the WireGuard devices of a network count. While keys rotate there are two.
func (s samples) addEncryption(n agentapi.NetworkStatus) {
	e := n.Encryption
	if e == nil {
		return
	}
	s.gauge(encryptionFailed, number(e.Problem != "" || e.Sends == 0), n.Name)
	known := make(map[netip.Addr]*tunnelPeer)
	for _, d := range e.Devices {
		s.gauge(keyAge, d.KeyAge.Seconds(), n.Name, d.Device)
		for _, p := range d.Peers {
			if known[p.VTEP] == nil {
				known[p.VTEP] = &tunnelPeer{current: p}
			}
			t := known[p.VTEP]
			t.received, t.sent = t.received+p.Received, t.sent+p.Sent
			if d.Generation == e.Sends {
				t.current = p
			}
		}
	}
	for vtep, t := range known {
		name, _, _ := strings.Cut(t.current.Host, " (") // the label has the address too
		labels := []string{n.Name, name, vtep.String()}
		s.counter(tunnelReceived, t.received, labels...)
		s.counter(tunnelSent, t.sent, labels...)
		if t.current.Reachable {
			s.gauge(tunnelSession, number(t.current.HasSession()), labels...)
		}
		if t.current.Handshake {
			s.gauge(handshakeAge, t.current.HandshakeAge.Seconds(), labels...)
		}
	}
}
