package driver

import (
	"errors"
	"fmt"
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// checkAddrs asks the network's other hosts whether an address of the endpoint is
// in use. That costs some 80 ms, so where the addresses are of the part that only
// this host hands out, the user has to ask for it. The agent has asked for those that it picked.
func (b build) checkAddrs(p placed, e network.Endpoint) error {
	var doubtful []netip.Addr
	for _, a := range e.Addrs {
		s, ok := p.SubnetOf(a.Addr())
		if ok && !p.AgentPicks() && (p.AddressCheck || !s.Lease.Contains(a.Addr())) {
			doubtful = append(doubtful, a.Addr())
		}
	}
	holders, err := b.holders(p, e, doubtful)
	if err != nil {
		return err
	}
	if holders, err = b.confirmed(p, holders); err != nil {
		return err
	}
	var errs []error
	for _, h := range holders {
		errs = append(errs, b.conflict(p, h))
	}
	return errors.Join(errs...)
}

// confirmed leaves out who is on another host and does not answer from there: a container that has just gone, for which this
// host's bridge answers until the agent has heard. What is sent on the KindVXLAN device no bridge answers here.
func (b build) confirmed(p placed, holders []kernel.ProbeAnswer) (confirmed []kernel.ProbeAnswer, err error) {
	var remote []netip.Addr
	for _, h := range holders {
		vtep, err := b.host.VTEP(p.Device.Name, h.MAC)
		if err != nil {
			return nil, err
		}
		if vtep.IsValid() {
			remote = append(remote, h.Addr)
		} else {
			confirmed = append(confirmed, h)
		}
	}
	if len(remote) == 0 {
		return confirmed, nil
	}
	there, err := b.host.ProbeAddresses(p.Device.Name, b.sender(p), remote)
	return append(confirmed, there...), err
}

// sender is who asks: the host.
func (b build) sender(p placed) kernel.ProbeSender {
	return kernel.ProbeSender{MAC: network.BridgeMAC(p.Tunnel.VNI, p.vtep.Local), Addrs: p.HostAddrs()}
}

// ProbeAddresses asks the network's other hosts for addresses that a container is to get, and
// returns who has them. It does so without the store's lock.
func (d *Driver) ProbeAddresses(l LocalNetwork, e network.Endpoint, addrs []netip.Addr) (map[netip.Addr]error, error) {
	host, err := d.Open("")
	if err != nil {
		return nil, err
	}
	defer host.Close()
	b := build{Driver: d, host: host}
	holders, err := b.holders(l.placed(), e, addrs)
	if err != nil {
		return nil, err
	}
	all := make(map[netip.Addr]error)
	for _, h := range holders {
		all[h.Addr] = b.conflict(l.placed(), h)
	}
	return all, nil
}

// holders returns who else has addresses of an endpoint that is to be built.
func (b build) holders(p placed, e network.Endpoint, addrs []netip.Addr) ([]kernel.ProbeAnswer, error) {
	if len(addrs) == 0 {
		return nil, nil
	}
	// An endpoint that is there already would answer for itself.
	if _, err := b.host.Link(p.Port(e), 0); !errors.Is(err, kernel.ErrNotFound) {
		return nil, err
	}
	return b.host.ProbeAddresses(p.Bridge.Name, b.sender(p), addrs)
}

func (b build) conflict(p placed, h kernel.ProbeAnswer) error {
	where := "this host"
	vtep, err := b.host.VTEP(p.Device.Name, h.MAC)
	if err != nil {
		return err
	}
	if vtep.IsValid() {
		where = "host " + vtep.String()
	}
	return fmt.Errorf("address %s of network %s is in use: %s on %s answers for it; choose another --ip, or stop what has it",
		h.Addr, p.Name, h.MAC, where)
}
