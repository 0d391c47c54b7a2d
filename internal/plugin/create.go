package plugin

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/network"
)

// Create checks a new network against this host and fills in what the user left to the driver. It
// changes nothing on the host: devices come with the first container.
func (p *Plugin) Create(config []byte) ([]byte, error) {
	if p.Rootless {
		return nil, errRootless
	}
	host, err := p.Open("")
	if err != nil {
		return nil, err
	}
	defer host.Close()
	reserved, err := p.reservations(host)
	if err != nil {
		return nil, err
	}
	labelled, err := network.TakeOverLabels(config)
	if err != nil {
		return nil, err
	}
	n, v, problems, err := network.ParseNew(labelled.Config, host, reserved)
	if err != nil {
		return nil, err
	}
	problems = append(labelled.Problems, problems...)
	problems = append(problems, ipam.ReserveRanges(&n)...)
	problems = append(problems, ipam.AssignSlices(&n, v)...)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	for _, warning := range append(labelled.Warnings, v.Warnings...) {
		p.Warn(warning)
	}
	return n.Complete(labelled.Config)
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
		all = append(all, network.Reservation{
			Holder: fmt.Sprintf("the device %s", d.Name),
			VNI:    d.Tunnel.VNI,
			Port:   d.Tunnel.Port,
		})
	}
	for _, path := range p.ResolvConfs {
		text, _ := os.ReadFile(path) // one that is not there names none
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
