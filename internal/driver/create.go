package driver

import (
	"fmt"

	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/network"
)

// Create checks a new network against this host and fills in what the user left
// to the driver. It changes nothing on the host: devices come with the first
// container.
func (d *Driver) Create(data []byte) ([]byte, error) {
	if d.Rootless {
		return nil, errRootless
	}
	host, err := d.Open("")
	if err != nil {
		return nil, err
	}
	defer host.Close()
	taken, err := d.taken(host)
	if err != nil {
		return nil, err
	}
	n, v, problems, err := network.ParseNew(data, host, taken)
	if err != nil {
		return nil, err
	}
	problems = append(problems, ipam.ReserveRanges(&n)...)
	problems = append(problems, ipam.AssignSlices(&n, v)...)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return n.Complete(data)
}

// taken lists what Podman's other networks and the host's KindVXLAN devices hold.
func (d *Driver) taken(host Namespace) ([]network.Reservation, error) {
	all, err := d.networks(network.ReadReservation)
	if err != nil {
		return nil, err
	}
	tunnels, err := host.Tunnels()
	if err != nil {
		return nil, err
	}
	for _, t := range tunnels {
		all = append(all, network.Reservation{
			Holder: fmt.Sprintf("the device %s", t.Name),
			VNI:    t.Tunnel.VNI,
			Port:   t.Tunnel.Port,
		})
	}
	return all, nil
}
