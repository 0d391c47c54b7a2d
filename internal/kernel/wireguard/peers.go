package wireguard

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// UpdatePeers implements Devices.
//
// A peer that is added gets a handshake at once. Otherwise a host whose process was started again could not
// read what others send, until they miss its answers after 15 seconds.
func (h *Host) UpdatePeers(name string, set []Peer, remove []Key) error {
	defer h.lock(name)()
	if err := h.updatePeers(name, set, remove); err != nil {
		return fmt.Errorf("update peers of WireGuard device %s: %w", name, err)
	}
	return nil
}

func (h *Host) updatePeers(name string, set []Peer, remove []Key) error {
	d := h.known(name)
	if d.endpoints == nil {
		d.endpoints = make(map[Key]netip.AddrPort)
	}
	wanted := d.endpoints
	err := h.withClient(func(c client) error {
		have, err := c.read(name)
		if err != nil {
			if isNotThere(err) {
				return ErrNotFound
			}
			return err
		}
		changes, added := peerChanges(have, set, remove, wanted, time.Now())
		if len(changes) == 0 {
			return nil
		}
		if err := c.apply(name, wgtypes.Config{Peers: changes}); err != nil {
			return err
		}
		return c.shakeHands(name, added)
	})
	if err != nil {
		return err
	}
	for _, key := range remove {
		delete(wanted, key)
	}
	for _, p := range set {
		wanted[p.PublicKey] = p.Endpoint
	}
	return nil
}

// keepAlive is how often a device sends something to each peer at least. So the others tell a host whose agent
// is away from one that is gone, a handshake that failed is tried again, and a firewall between the hosts
// keeps the way open. It is what WireGuard's manual proposes.
const keepAlive = 25 * time.Second

// shakeHands makes a device shake hands with peers that it has no session with. Both implementations send
// a packet when a keepalive is switched on. A second is the shortest, and it stays for a moment only.
func (c client) shakeHands(name string, peers []Key) error {
	for _, keepalive := range []time.Duration{time.Second, keepAlive} {
		var config wgtypes.Config
		for _, key := range peers {
			config.Peers = append(config.Peers, wgtypes.PeerConfig{
				PublicKey: wgtypes.Key(key), UpdateOnly: true, PersistentKeepaliveInterval: &keepalive,
			})
		}
		if err := c.apply(name, config); err != nil {
			return err
		}
	}
	return nil
}

// peerChanges returns what makes a device's peers what is wanted, in an order in which each address that
// goes from one peer to another belongs to one of them at any time. Added are peers to shake hands with.
//
// wanted has the endpoints that were wanted before.
func peerChanges(have State, set []Peer, remove []Key, wanted map[Key]netip.AddrPort,
	now time.Time) (changes []wgtypes.PeerConfig, added []Key) {
	there := make(map[Key]PeerState, len(have.Peers))
	for _, p := range have.Peers {
		there[p.PublicKey] = p
	}
	taken := make(map[netip.Prefix]bool) // by peers that are set
	for _, p := range set {
		for _, a := range p.AllowedIPs {
			taken[a.Masked()] = true
		}
	}
	var gone []netip.Prefix
	for _, p := range set {
		old, exists := there[p.PublicKey]
		change, changed := peerChange(p, old, exists, wanted, now)
		if changed {
			changes = append(changes, change)
		}
		if !exists && p.Endpoint.IsValid() {
			added = append(added, p.PublicKey)
		}
		for _, a := range old.AllowedIPs {
			if !taken[a] {
				gone = append(gone, a)
			}
		}
	}
	changes = append(changes, withdraw(gone)...)
	for _, key := range remove {
		if _, exists := there[key]; exists {
			changes = append(changes, wgtypes.PeerConfig{PublicKey: wgtypes.Key(key), Remove: true})
		}
	}
	return changes, added
}

// peerChange returns what a peer lacks. It never has less: see withdraw.
func peerChange(want Peer, old PeerState, exists bool, wanted map[Key]netip.AddrPort,
	now time.Time) (change wgtypes.PeerConfig, changed bool) {
	change = wgtypes.PeerConfig{PublicKey: wgtypes.Key(want.PublicKey), UpdateOnly: exists}
	var lacks []netip.Prefix
	for _, a := range want.AllowedIPs {
		if !slices.Contains(old.AllowedIPs, a.Masked()) {
			lacks = append(lacks, a)
		}
	}
	change.AllowedIPs = toIPNets(lacks)
	before, known := wanted[want.PublicKey]
	// A peer may have gone elsewhere, and then WireGuard knows better. If it has not been heard of for the
	// time of a session, it is sought where it should be.
	if want.Endpoint.IsValid() && want.Endpoint != old.Endpoint && (old.IsLost(now) || known && before != want.Endpoint) {
		change.Endpoint = net.UDPAddrFromAddrPort(want.Endpoint)
	}
	return change, !exists || len(lacks) > 0 || change.Endpoint != nil
}

// withdraw takes addresses from whichever peer has them. Of a peer's addresses one request can take all, or
// from Linux 6.16 on some. In between, the others would lead nowhere. So they are given to a peer that
// nobody is, which goes at once.
func withdraw(addrs []netip.Prefix) []wgtypes.PeerConfig {
	if len(addrs) == 0 {
		return nil
	}
	var nobody wgtypes.Key
	_, _ = rand.Read(nobody[:])
	return []wgtypes.PeerConfig{
		{PublicKey: nobody, AllowedIPs: toIPNets(addrs)},
		{PublicKey: nobody, Remove: true},
	}
}

// sessionTime is after how long WireGuard ends a session without a new handshake (Reject-After-Time).
const sessionTime = 3 * time.Minute
