package driver

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

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
	fill(&n, v, &problems)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return n.Complete(data)
}

// fill gives each subnet a gateway and this host's own part of the addresses.
// The part depends on the list of hosts, so with a multicast group, where there
// is none, it is up to the user (--ip-range).
func fill(n *network.Network, v network.VTEP, problems *network.Problems) {
	for i := range n.Subnets {
		s := &n.Subnets[i]
		if !s.Gateway.IsValid() && !s.Prefix.IsSingleIP() {
			s.Gateway = s.Prefix.Addr().Next()
		}
		if !s.Lease.IsZero() || !v.Local.IsValid() || len(v.Remotes) == 0 {
			continue
		}
		lease, err := ipam.Slice(*s, append([]netip.Addr{v.Local}, v.Remotes...), v.Local)
		if err != nil {
			problems.Add("--subnet", s.Prefix.String(), "%s", err)
			continue
		}
		s.Lease = lease
	}
}

// taken lists what Podman's other networks and the host's VXLAN devices hold.
func (d *Driver) taken(host Namespace) ([]network.Taken, error) {
	files, err := filepath.Glob(filepath.Join(d.NetworksDir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	var all []network.Taken
	for _, f := range files {
		// A file that goes away meanwhile is a network that was removed.
		if data, err := os.ReadFile(f); err == nil {
			all = append(all, network.ReadTaken(data))
		}
	}
	tunnels, err := host.Tunnels()
	if err != nil {
		return nil, err
	}
	for _, t := range tunnels {
		all = append(all, network.Taken{
			Holder: fmt.Sprintf("the device %s", t.Name),
			VNI:    t.Tunnel.VNI,
			Port:   t.Tunnel.Port,
		})
	}
	return all, nil
}
