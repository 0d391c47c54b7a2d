package bpfpath

import (
	"errors"
	"fmt"

	"vxlan-driver/internal/kernel"
)

// setRemotes sets the containers on other hosts, as far as they are looked at.
func (p *Programs) setRemotes(want kernel.FastPath, device uint32) error {
	wanted, err := p.wantedRemotes(want, device)
	if err != nil {
		return err
	}
	have, err := p.observeRemotes(want, device)
	if err != nil {
		return err
	}
	if err := putMissing(p.objects.Remotes, wanted, have); err != nil {
		return fmt.Errorf("fill table of remote containers of %s: %w", want.Device, err)
	}
	if want.Partial { // they stay, but what is here cannot be elsewhere
		here := make(map[programsStation]bool)
		for _, port := range want.Ports {
			here[programsStation{Device: device, Mac: port.MAC}] = true
		}
		only(have, func(k programsStation, _ programsRemote) bool { return here[k] })
	}
	if err := deleteExtra(p.objects.Remotes, wanted, have); err != nil {
		return err
	}
	if want.Only == nil && !want.Partial {
		return p.forgetPeers(device, wanted)
	}
	return nil
}

// copyRemotes makes the table have what the VXLAN device's forwarding database has of containers of other
// hosts.
func (p *Programs) copyRemotes(want kernel.FastPath, device uint32, ns Namespace) error {
	tables, err := ns.ForwardingTables(want.Bridge, want.Device, nil)
	if err != nil {
		return err
	}
	isStatic := make(map[kernel.MAC]bool, len(tables.Static)) // the bridge expects it there
	for _, mac := range tables.Static {
		isStatic[mac] = true
	}
	for _, port := range want.Ports {
		delete(isStatic, port.MAC)
	}
	all := kernel.FastPath{Device: want.Device}
	for _, e := range tables.FDB {
		if isStatic[e.MAC] {
			all.Remote, all.FDB = append(all.Remote, e.MAC), append(all.FDB, e)
		}
	}
	remotes, err := p.wantedRemotes(all, device)
	if err != nil {
		return err
	}
	have, err := p.observeRemotes(all, device)
	if err != nil {
		return err
	}
	return errors.Join(
		putMissing(p.objects.Remotes, remotes, have), deleteExtra(p.objects.Remotes, remotes, have),
		p.copyAddresses(want, device, all, tables.Neighbours))
}

func (p *Programs) wantedRemotes(want kernel.FastPath, device uint32) (map[programsStation]programsRemote, error) {
	remotes := make(map[programsStation]programsRemote, len(want.Remote))
	for i, mac := range want.Remote {
		vtep := toAddress(want.FDB[i].Dst)
		peer, err := p.peer(peerKey{device, vtep})
		if err != nil {
			return nil, err
		}
		remotes[programsStation{Device: device, Mac: mac}] = programsRemote{Vtep: vtep, Peer: peer}
	}
	return remotes, nil
}

func (p *Programs) observeRemotes(want kernel.FastPath, device uint32) (map[programsStation]programsRemote, error) {
	if want.Only != nil {
		var keys []programsStation
		for _, mac := range want.Only {
			keys = append(keys, programsStation{Device: device, Mac: mac})
		}
		return lookup[programsStation, programsRemote](p.objects.Remotes, keys)
	}
	all, err := dump[programsStation, programsRemote](p.objects.Remotes)
	return only(all, func(k programsStation, _ programsRemote) bool { return k.Device == device }), err
}
