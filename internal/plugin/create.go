package plugin

import (
	"fmt"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/network"
)

// Create checks a new network against this host and fills in what the user left
// to the driver. It changes nothing on the host: devices come with the first
// container.
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
	n, v, problems, err := network.ParseNew(config, host, reserved)
	if err != nil {
		return nil, err
	}
	problems = append(problems, ipam.ReserveRanges(&n)...)
	problems = append(problems, ipam.AssignSlices(&n, v)...)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return n.Complete(config)
}

// reservations lists what Podman's other networks and the host's VXLAN devices hold.
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
	return all, nil
}
