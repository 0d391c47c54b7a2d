package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/network"
)

// claim picks an address of each subnet that none of the kept ones is of, and tells the
// others. What it finds in use is not taken, nor a kept one on the first try, which the user
// wants.
func (c *claims) claim(who claimant, keep, avoid []netip.Addr, try int) ([]netip.Addr, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	bind, l, _, err := c.findLocked(who)
	if err != nil {
		return nil, err
	}
	others := c.holdersLocked(l, c.parts[bind].cluster.Snapshot(), who.container)
	for _, a := range append(l.HostAddrs(), c.own[l.ID]...) {
		others.add(a, holder{vtep: l.VTEP.Local})
	}
	if try == 0 {
		if err := refuse(l, keep, others); err != nil {
			return nil, err
		}
	}
	all, err := c.pickLocked(l, keep, try, func(a netip.Addr) bool {
		_, held := others[a]
		return held || slices.Contains(avoid, a)
	})
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", l.Name, err)
	}
	if c.held == nil {
		c.held = make(map[claimant]claim)
	}
	c.held[who] = claim{addrs: all, bind: bind, since: time.Now()}
	return all, c.tellLocked(bind)
}

// refuse tells why a container cannot have the addresses that its user wants.
func refuse(l hoststate.Network, wanted []netip.Addr, others holders) error {
	for _, a := range wanted {
		if _, ok := l.SubnetOf(a); !ok {
			return fmt.Errorf("address %v is in no subnet of network %s", a, l.Name)
		}
		if h, held := others[a]; held {
			return inUse(l, a, h)
		}
	}
	return nil
}

func inUse(l hoststate.Network, a netip.Addr, h holder) error {
	return fmt.Errorf("address %v of network %s is in use by %v; choose another --ip", a, l.Name, h)
}

// pickLocked returns the kept addresses and one of each other subnet, in the subnets' order.
func (c *claims) pickLocked(l hoststate.Network, keep []netip.Addr, try int, taken func(netip.Addr) bool) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, s := range l.Subnets {
		kept := slices.DeleteFunc(slices.Clone(keep), func(a netip.Addr) bool { return !s.Prefix.Contains(a) })
		if len(kept) == 0 {
			a, err := ipam.PickAddress(s, c.startLocked(l, s, try), taken)
			if err != nil {
				return nil, err
			}
			c.next[nextKey(l, s)] = a.Next()
			kept = append(kept, a)
		}
		all = append(all, kept...)
	}
	return all, nil
}

// startLocked is where it was, and elsewhere if others are there too: who goes on beside them
// meets them again.
func (c *claims) startLocked(l hoststate.Network, s network.Subnet, try int) netip.Addr {
	if c.next == nil {
		c.next = make(map[string]netip.Addr)
	}
	start, ok := c.next[nextKey(l, s)]
	switch {
	case try > 0:
		return ipam.StartAddress(s, fmt.Sprint(l.VTEP.Local, start, try))
	case !ok:
		return ipam.StartAddress(s, l.VTEP.Local.String())
	}
	return start
}

func nextKey(l hoststate.Network, s network.Subnet) string { return l.ID + " " + s.Prefix.String() }
