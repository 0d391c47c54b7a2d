package bpfpath

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
)

// A host takes IP packets of an encrypted network by their addresses. So the tables say whose these are: of containers
// here, and of those of other hosts. Each entry has the time since when it is known: a new one is not used for sending
// at once, as the other host may not have heard of it.

// setAddresses sets the addresses of containers, as far as they are looked at.
func (p *Programs) setAddresses(want kernel.FastPath, device uint32) error {
	wanted, err := p.wantedAddresses(want, device)
	if err != nil {
		return err
	}
	have, err := p.observeAddresses(want, device)
	if err != nil {
		return err
	}
	return p.replaceAddresses(want.Device, wanted, have, func(_ programsPlace, o programsOwner) bool {
		if o.isHere() {
			return !want.SkipPorts
		}
		return !want.Partial
	})
}

// replaceAddresses makes the table have what is wanted. What is there and not wanted goes if isExtra says so.
func (p *Programs) replaceAddresses(device string, wanted, have map[programsPlace]programsOwner,
	isExtra func(programsPlace, programsOwner) bool) error {
	for k, o := range wanted {
		if old, ok := have[k]; ok && old.isSame(o) {
			wanted[k] = old // it is known since then
		}
	}
	if err := putMissing(p.objects.Addresses, wanted, have); err != nil {
		return fmt.Errorf("fill table of addresses of %s: %w", device, err)
	}
	return deleteExtra(p.objects.Addresses, wanted, only(have, isExtra))
}

// isHere tells whether the container is on this host.
func (o programsOwner) isHere() bool { return o.Vtep == programsAddress{} }

// isSame tells whether two owners are the same container on the same host.
func (o programsOwner) isSame(other programsOwner) bool {
	o.Since = other.Since
	return o == other
}

// wantedAddresses returns the addresses that are looked at, as if all were new.
func (p *Programs) wantedAddresses(want kernel.FastPath, device uint32) (map[programsPlace]programsOwner, error) {
	now, err := monotonicNow()
	if err != nil {
		return nil, err
	}
	wanted := make(map[programsPlace]programsOwner, len(want.Encrypted.Local)+len(want.Encrypted.Remote))
	for _, a := range want.Encrypted.Remote {
		owner := programsOwner{Since: now, Vtep: toAddress(a.VTEP), Mac: a.MAC}
		wanted[placeOf(device, a.Addr)] = owner
	}
	if want.SkipPorts {
		return wanted, nil
	}
	for _, a := range want.Encrypted.Local {
		wanted[placeOf(device, a.Addr)] = programsOwner{Since: now, Mac: a.MAC}
	}
	return wanted, nil
}

// monotonicNow is the current time, in the unit of programsOwner.Since.
func monotonicNow() (uint64, error) {
	var now unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return uint64(now.Nano()), err
}

func placeOf(device uint32, a netip.Addr) programsPlace {
	return programsPlace{Address: toAddress(a), Device: device}
}

// observeAddresses returns what the table has of the addresses that are looked at.
func (p *Programs) observeAddresses(want kernel.FastPath, device uint32) (map[programsPlace]programsOwner, error) {
	only := want.Encrypted.Only
	looked := make(map[programsPlace]bool, len(only))
	keys := make([]programsPlace, 0, len(only))
	for _, a := range only {
		keys, looked[placeOf(device, a)] = append(keys, placeOf(device, a)), true
	}
	if only != nil && want.SkipPorts {
		return lookup[programsPlace, programsOwner](p.objects.Addresses, keys)
	}
	return p.dumpAddresses(func(k programsPlace, o programsOwner) bool {
		return k.Device == device && (only == nil || looked[k] || o.isHere())
	})
}

func (p *Programs) dumpAddresses(
	keep func(programsPlace, programsOwner) bool) (map[programsPlace]programsOwner, error) {
	all, err := dump[programsPlace, programsOwner](p.objects.Addresses)
	return only(all, keep), err
}

// copyAddresses makes the table have what the bridge knows of addresses on other hosts, and remotes of their hosts.
func (p *Programs) copyAddresses(want kernel.FastPath, device uint32, remotes kernel.FastPath,
	neighbours []kernel.Neighbour) error {
	if want.Encrypted == nil {
		return nil
	}
	vteps := make(map[kernel.MAC]netip.Addr, len(remotes.Remote))
	for i, mac := range remotes.Remote {
		vteps[mac] = remotes.FDB[i].Dst
	}
	all := kernel.FastPath{Device: want.Device, SkipPorts: true, Encrypted: new(kernel.EncryptedPath)}
	for _, n := range neighbours {
		if vtep, ok := vteps[n.MAC]; ok {
			all.Encrypted.Remote = append(all.Encrypted.Remote, kernel.ContainerAddress{Addr: n.Addr, MAC: n.MAC, VTEP: vtep})
		}
	}
	wanted, err := p.wantedAddresses(all, device)
	if err != nil {
		return err
	}
	have, err := p.dumpAddresses(func(k programsPlace, _ programsOwner) bool { return k.Device == device })
	if err != nil {
		return err
	}
	isElsewhere := func(_ programsPlace, o programsOwner) bool { return !o.isHere() }
	return p.replaceAddresses(want.Device, wanted, have, isElsewhere)
}

// exit is how packets of an encrypted network leave.
type exit struct {
	device uint32 // index of the WireGuard device; 0: there is none
	takers map[programsPlace]uint32
}

func (e exit) isSame(other exit) bool {
	if e.device != other.device || len(e.takers) != len(other.takers) {
		return false
	}
	for k := range e.takers {
		if _, ok := other.takers[k]; !ok {
			return false
		}
	}
	return true
}

// setExit sets the WireGuard device by which packets leave, and the hosts that take them without a VXLAN header. Those
// are of that device. So a host that is none of the next device's goes before it, and a new one comes after it.
func (p *Programs) setExit(want kernel.FastPath, device, send uint32, nspath string) error {
	wanted := exit{send, make(map[programsPlace]uint32)}
	for _, vtep := range want.Encrypted.Takers {
		wanted.takers[placeOf(device, vtep)] = 0
	}
	if have, ok := p.exits[device]; ok && want.SkipPorts && have.isSame(wanted) {
		return nil // the table may be long
	}
	delete(p.exits, device)
	have, err := dump[programsPlace, uint32](p.objects.Takers)
	if err != nil {
		return err
	}
	only(have, func(k programsPlace, _ uint32) bool { return k.Device == device })
	if err := deleteExtra(p.objects.Takers, wanted.takers, have); err != nil {
		return err
	}
	if send == 0 {
		err = deleteExtra(p.objects.Wireguard, map[uint32]uint32(nil), map[uint32]uint32{device: 0})
	} else {
		// The kernel looks for the device in the caller's namespace.
		err = netns.DoIn(nspath, func() error { return p.objects.Wireguard.Put(device, send) })
	}
	if err = errors.Join(err, putMissing(p.objects.Takers, wanted.takers, have)); err != nil {
		return fmt.Errorf("lead packets of %s to WireGuard: %w", want.Device, err)
	}
	p.exits[device] = wanted
	return nil
}
