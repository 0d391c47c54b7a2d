package network

import (
	"fmt"
	"net/netip"
	"slices"
)

// placement finds a network's VTEP on the host.
type placement struct {
	Network
	host     InterfaceLookup
	last     VTEP // where the network is already; zero: nowhere
	creating bool // the network is new, so contradictions are refused
	problems *Problems

	own     []netip.Addr // listed addresses that this host has
	remotes []netip.Addr // the other ones
}

const (
	optionInterface = "option physical_interface"
	optionLocal     = "option local_ip"
	optionRemotes   = "option remote_ips"
)

// find returns the VTEP. Only lookups that fail are an error; what is wrong with the network or the
// host is added to the problems.
func (p placement) find() (VTEP, error) {
	var err error
	if p.own, p.remotes, err = p.splitListed(); err != nil || p.awaitsListedAddr() {
		return VTEP{}, err
	}
	iface, err := p.findInterface()
	if err != nil {
		return VTEP{}, fmt.Errorf("find the physical interface: %w", err)
	}
	if iface.Name == "" {
		return VTEP{}, nil
	}
	v := VTEP{Interface: iface.Name, UnderlayMTU: iface.MTU, Own: p.own, Unlisted: p.lacksListedAddr()}
	if v.Local, err = p.findLocalAddr(iface); err != nil {
		return VTEP{}, fmt.Errorf("find the local address: %w", err)
	}
	v.Tentative = slices.Contains(iface.Tentative, v.Local)
	if p.ListsHosts() {
		v.Remotes = p.remotes
	}
	if p.IsMoving() {
		v.Listed = v.Remotes
	}
	v.Flood = v.Remotes
	if len(v.Remotes) == 0 && p.ListsHosts() && !p.Tunnel.Group.IsValid() && !p.problems.haveProblemWith(optionRemotes) {
		p.problems.Add(optionRemotes, v.Local.String(), "has no host but this one; name at least one other")
	}
	if err := checkVRF(p.Network, p.host, p.problems); err != nil {
		return VTEP{}, err
	}
	v.MTU = p.findMTU(iface, &v)
	checkOverlap(p.Network, p.remotes, iface, p.problems)
	if p.creating && v.Local.IsValid() {
		if err := p.checkPaths(iface, v.Local); err != nil {
			return VTEP{}, err
		}
		p.checkListed(&v)
	}
	p.noteMove(&v)
	p.noteMTU(iface, &v)
	return v, nil
}

// splitListed tells the listed addresses that this host has from the other ones. All addresses of
// this host are left out of the remote ones, not only the VTEP's: a host that floods to itself learns
// its own containers' MACs from the tunnel.
func (p placement) splitListed() (own, remotes []netip.Addr, err error) {
	if own, err = p.host.OwnAddrs(p.Network.Remotes); err != nil {
		return nil, nil, err
	}
	for _, r := range p.Network.Remotes {
		if !slices.Contains(own, r) && r != p.LocalIP {
			remotes = append(remotes, r)
		}
	}
	return own, remotes, nil
}

// awaitsListedAddr tells whether the network must wait for a listed address, and adds a problem then.
func (p placement) awaitsListedAddr() bool {
	if home, ok := p.absentListedHome(); ok {
		p.problems.AddAbsent(optionLocal, autoValue,
			"the network sends from %s, which remote_ips lists, by %s; that is gone, and is waited for; "+
				"if the host has another address for good, recreate the network on all hosts, with that address in the list",
			home.Local, home.Interface)
		return true
	}
	if p.lacksListedAddr() && p.ListsHosts() {
		p.problems.AddAbsent(optionRemotes, p.Options()["remote_ips"],
			"no interface of this host has one of the addresses, though one had when the network was created (host_listed)")
		return true
	}
	return false
}

// lacksListedAddr tells whether the host has none of the listed addresses, but had one when the
// network was created: it is booting. Where hosts find each other it may have another address now,
// and they hear of it. While the network has containers, it is known where it belongs.
func (p placement) lacksListedAddr() bool {
	return p.HostListed.Value && !p.LocalIP.IsValid() && len(p.Network.Remotes) > 0 && len(p.own) == 0 &&
		len(p.homes()) == 0
}

// noteMove keeps where the network belongs, and says that it has moved.
func (p placement) noteMove(v *VTEP) {
	homes := p.homes()
	if len(homes) == 0 || !v.Local.IsValid() {
		return
	}
	now, last := Underlay{v.Interface, v.Local}, homes[len(homes)-1]
	if now != homes[0] {
		v.Home = homes[0]
	}
	switch now {
	case last:
	case homes[0]:
		v.Warnings = append(v.Warnings, fmt.Sprintf("network %s sends from %s by %s again", p.Name, v.Local, v.Interface))
	default:
		advice := ""
		if p.ListsHosts() && !p.Tunnel.Group.IsValid() && v.Local != last.Local {
			advice = fmt.Sprintf("; hosts whose remote_ips have %s must list %s instead", last.Local, v.Local)
		}
		v.Warnings = append(v.Warnings,
			fmt.Sprintf("network %s sends from %s by %s now, since %s by %s cannot be used any more%s",
				p.Name, v.Local, v.Interface, last.Local, last.Interface, advice))
	}
}
