package plugin

import (
	"errors"
	"fmt"
	"slices"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// CheckChange checks what the configuration of a network is to become as Create checks a new one. It
// leaves out what the network itself has on the host.
func (p *Plugin) CheckChange(before, after []byte) error {
	host, err := p.Open("")
	if err != nil {
		return err
	}
	defer host.Close()
	id, err := network.ParseIdentity(before)
	if err != nil {
		return err
	}
	reserved, err := p.reservations(host)
	if err != nil {
		return err
	}
	n, v, problems, err := network.ParseNew(after, withoutNetwork{host, id}, reserved)
	if err == nil && n.ID != id.ID {
		err = errors.New("the ID of a network cannot be changed")
	}
	if err == nil && problems.Err() == nil {
		problems, err = checkSlices(before, n, v)
	}
	return errors.Join(err, problems.Err())
}

// checkSlices refuses a list of hosts by which another part of a subnet would be a host's: containers
// have addresses of the parts as they are, and other hosts go by the list that they have.
func checkSlices(before []byte, after network.Network, v network.VTEP) (network.Problems, error) {
	n, err := network.ParseStored(before)
	if err != nil {
		return nil, err
	}
	var problems network.Problems
	for i, s := range n.Subnets {
		had := ipam.Slices(n, network.VTEP{Local: v.Local, Remotes: n.Remotes}, s)
		if had == nil || slices.Equal(n.Remotes, after.Remotes) {
			continue // the addresses are not divided by the list
		}
		now := ipam.Slices(after, v, after.Subnets[i])
		for _, one := range had {
			kept := slices.ContainsFunc(now, func(o ipam.HostSlice) bool { return o == one })
			remains := v.Local == one.Host || slices.Contains(after.Remotes, one.Host)
			if one.Host.IsValid() && remains && !kept {
				problems.Add("option remote_ips", after.Options()["remote_ips"],
					"would move the part of %s that host %s hands out; recreate the network on all hosts with this list, and with "+
						"max_hosts for later hosts, or use discovery=gossip", s.Prefix, one.Host)
				break
			}
		}
	}
	return problems, nil
}

// withoutNetwork is a host as it would be without a network's own devices.
type withoutNetwork struct {
	hoststate.Namespace
	id network.Identity
}

func (w withoutNetwork) isOwn(name string) bool {
	devices := []network.DeviceName{w.id.Bridge, w.id.Device, w.id.WireGuard[0], w.id.WireGuard[1]}
	return slices.ContainsFunc(devices, func(d network.DeviceName) bool {
		return d.Name == name || slices.Contains(d.Alts, name)
	})
}

// Interface finds no device of the network.
func (w withoutNetwork) Interface(name string) (kernel.Interface, error) {
	iface, err := w.Namespace.Interface(name)
	if err != nil || !w.isOwn(iface.Name) {
		return iface, err
	}
	l, err := w.Link(iface.Name, 0)
	if err != nil {
		return kernel.Interface{}, fmt.Errorf("look at %s: %w", iface.Name, err)
	}
	if network.IDFromAlias(l.Alias) != w.id.ID {
		return iface, nil // of the same name, and another's
	}
	return kernel.Interface{}, nil
}

// HostPrefixes leaves out what the bridge has.
func (w withoutNetwork) HostPrefixes() ([]kernel.HostPrefix, error) {
	all, err := w.Namespace.HostPrefixes()
	return slices.DeleteFunc(all, func(p kernel.HostPrefix) bool { return w.isOwn(p.Interface) }), err
}
