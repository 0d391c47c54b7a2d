package plugin

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/regfile"
)

// Create checks a new network against this host and fills in what the user left to the driver. It
// makes nothing on the host: devices come with the first container. What containers that nobody
// tore down have left there may be in the way. That goes first.
func (p *Plugin) Create(config []byte) ([]byte, error) {
	if p.Rootless {
		return nil, errRootless
	}
	host, err := p.Open("")
	if err != nil {
		return nil, err
	}
	defer host.Close()
	labelled, err := network.TakeOverLabels(config)
	if err != nil {
		return nil, err
	}
	labelled.Config, err = p.defineOnce(labelled.Config, func(config []byte) error {
		proposed := labelled
		proposed.Config = config
		_, _, err := p.checkCleaned(proposed, host)
		return err
	})
	if err != nil {
		return nil, err
	}
	n, v, err := p.checkCleaned(labelled, host)
	if err != nil {
		return nil, err
	}
	for _, warning := range append(labelled.Warnings, v.Warnings...) {
		p.Warn(warning)
	}
	return n.Complete(labelled.Config)
}

// checkCleaned is checkNew. If something is in the way that nobody uses any more, it goes first.
func (p *Plugin) checkCleaned(labelled network.Labelled,
	host hoststate.Namespace) (network.Network, network.VTEP, error) {
	n, v, problems, err := p.checkNew(labelled, host)
	if err == nil && problems.Err() != nil && p.hasUnused(host) {
		if err := p.forgetUnused(host); err != nil {
			return n, v, errors.Join(problems.Err(), err)
		}
		n, v, problems, err = p.checkNew(labelled, host)
	}
	return n, v, errors.Join(err, problems.Err())
}

// checkNew parses a new network, and finds all that is wrong with it on this host.
func (p *Plugin) checkNew(labelled network.Labelled,
	host hoststate.Namespace) (network.Network, network.VTEP, network.Problems, error) {
	reserved, err := p.reservations(host)
	if err != nil {
		return network.Network{}, network.VTEP{}, nil, err
	}
	n, v, problems, err := network.ParseNew(labelled.Config, host, reserved)
	if err == nil {
		problems = slices.Concat(labelled.Problems, problems)
		problems = append(problems, ipam.ReserveRanges(&n)...)
		problems = append(problems, ipam.AssignSlices(&n, v)...)
		p.checkEtcd(n, &problems)
	}
	return n, v, problems, err
}

// hasUnused tells whether the host has devices of this driver's that may be unused.
func (p *Plugin) hasUnused(host hoststate.Namespace) bool {
	devices, err := host.Tunnels()
	return err == nil &&
		slices.ContainsFunc(devices, func(d kernel.Link) bool { return network.IDFromAlias(d.Alias) != "" })
}

// forgetUnused drops containers that are gone and were never torn down, and devices that nobody
// uses.
func (p *Plugin) forgetUnused(host hoststate.Namespace) error {
	s, err := p.BeginIn(host)
	if err != nil {
		return err
	}
	return errors.Join(s.DropOrphans(), s.RemoveUnused(), s.Close())
}

// reservations lists what Podman's other networks and the host's VXLAN devices hold, and the host's
// name servers.
func (p *Plugin) reservations(host hoststate.Namespace) ([]network.Reservation, error) {
	all, err := p.Reservations(network.ReadReservation)
	if err != nil {
		return nil, err
	}
	devices, err := host.Tunnels()
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		holder := fmt.Sprintf("the device %s", d.Name)
		if network.IDFromAlias(d.Alias) != "" {
			holder += fmt.Sprintf(" of this driver (alias %q), which containers use", d.Alias)
		}
		all = append(all, network.Reservation{
			Holder: holder,
			ID:     network.IDFromAlias(d.Alias),
			VNI:    d.Tunnel.VNI,
			Port:   d.Tunnel.Port,
		})
	}
	for _, path := range p.ResolvConfs {
		text, _ := regfile.ReadText(path) // one that is not there names none
		for _, server := range nameServers(string(text)) {
			all = append(all, network.Reservation{
				Holder:  "a name server of " + path,
				Subnets: []netip.Prefix{netip.PrefixFrom(server, server.BitLen())},
				HostUse: true,
			})
		}
	}
	return all, nil
}

// nameServers returns the name servers that a resolv.conf(5) names, those on the host itself left
// out.
func nameServers(text string) []netip.Addr {
	var all []netip.Addr
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil && !a.IsLoopback() {
			all = append(all, a.Unmap().WithZone(""))
		}
	}
	return all
}
