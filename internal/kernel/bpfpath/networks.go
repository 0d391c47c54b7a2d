package bpfpath

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fastpath"
)

// setNetwork fills the tables of a network, and attaches its programs. What leads to a port is there
// before packets are taken from it, and goes after.
func (p *Programs) setNetwork(want kernel.FastPath, network programsNetwork, ns Namespace) (err error) {
	defer func() { p.followed[network.Device] = err == nil || errors.Is(err, kernel.ErrFastPathUnfinished) }()
	have, err := p.prepare(want, network.Device, ns)
	if err != nil {
		return err
	}
	if err := p.setOfHops(network); err != nil {
		return err
	}
	if err := p.setRemotes(want, network.Device); err != nil {
		return err
	}
	t, err := wantedTables(want, p.limited(network), ns)
	if err != nil {
		return err
	}
	err = errors.Join(
		putMissing(p.objects.Sources, t.sources, have.sources),
		putMissing(p.objects.Ports, t.ports, have.ports),
		putMissing(p.objects.Locals, t.locals, have.locals),
		p.objects.Tunnels.Put(tunnelOf(network), tunnelEndOf(network)))
	if err != nil {
		return fmt.Errorf("fill tables of %s: %w", want.Device, err)
	}
	// A port that has another MAC now has the program already.
	attachErr := errors.Join(p.detachOthers(want, devicePin, underlayPin), p.attachNetwork(want, network, t))
	if attachErr != nil && !errors.Is(attachErr, kernel.ErrFastPathUnfinished) {
		return fmt.Errorf("attach programs of %s: %w", want.Device, attachErr)
	}
	return errors.Join(
		attachErr,
		deleteWhere(p.objects.Tunnels, func(k programsTunnel, v programsTunnelEnd) bool {
			return v.Device == network.Device && k != tunnelOf(network)
		}),
		deleteExtra(p.objects.Locals, t.locals, have.locals),
		deleteExtra(p.objects.Ports, t.ports, have.ports),
		deleteExtra(p.objects.Sources, t.sources, have.sources))
}

// prepare makes the directory of a network, and returns what the tables have of it. For a network that had no
// programs it clears what they have of devices that are gone. The first time, and after an error, it takes over
// all containers of other hosts that the VXLAN device knows: the wish may name few of them, and what the tables
// have may be out of date.
func (p *Programs) prepare(want kernel.FastPath, index uint32, ns Namespace) (have networkTables, err error) {
	if err := os.MkdirAll(p.pins(want.Device), 0o700); err != nil {
		return have, err
	}
	if have, err = p.observe(index); err != nil {
		return have, err
	}
	isNew := len(have.ports) == 0
	if isNew {
		err = p.clearUnused(ns)
	}
	if err != nil || !isNew && p.followed[index] {
		return have, err
	}
	return have, p.copyRemotes(want, index, ns)
}

// networkTables are a network's entries, but for containers of other hosts.
type networkTables struct {
	ports   map[uint32]programsPort
	sources map[programsSource]uint32
	locals  map[programsStation]uint32
}

func newNetworkTables() networkTables {
	return networkTables{make(map[uint32]programsPort), make(map[programsSource]uint32), make(map[programsStation]uint32)}
}

func wantedTables(want kernel.FastPath, network programsNetwork, ns Namespace) (t networkTables, err error) {
	t = newNetworkTables()
	indexes := make(map[string]uint32)
	for _, port := range want.Ports {
		index, err := ns.Index(port.Name)
		if errors.Is(err, kernel.ErrNotFound) {
			continue // the container has just ended
		}
		if err != nil {
			return t, err
		}
		indexes[port.Name] = uint32(index)
		t.ports[uint32(index)] = programsPort{Network: network, Mac: port.MAC}
		t.locals[programsStation{Device: network.Device, Mac: port.MAC}] = uint32(index)
	}
	for _, s := range want.Sources {
		if index, ok := indexes[s.Port]; ok {
			t.sources[programsSource{Address: toAddress(s.Addr), Port: index}] = 0
		}
	}
	return t, nil
}

// observe returns what the tables have of a network.
func (p *Programs) observe(device uint32) (t networkTables, err error) {
	if t.ports, err = dump[uint32, programsPort](p.objects.Ports); err != nil {
		return t, err
	}
	if t.locals, err = dump[programsStation, uint32](p.objects.Locals); err != nil {
		return t, err
	}
	if t.sources, err = dump[programsSource, uint32](p.objects.Sources); err != nil {
		return t, err
	}
	only(t.ports, func(_ uint32, v programsPort) bool { return v.Network.Device == device })
	only(t.locals, func(k programsStation, _ uint32) bool { return k.Device == device })
	only(t.sources, func(k programsSource, _ uint32) bool { _, ok := t.ports[k.Port]; return ok })
	return t, nil
}

func tunnelOf(n programsNetwork) programsTunnel {
	return programsTunnel{Local: n.Local, Vni: n.Vni, Port: n.Port}
}

func tunnelEndOf(n programsNetwork) programsTunnelEnd {
	return programsTunnelEnd{Device: n.Device, Underlay: n.Underlay, Flags: uint32(n.Flags), Mtu: uint32(n.Mtu)}
}

// attachNetwork attaches the programs of a network: first those that receive.
func (p *Programs) attachNetwork(want kernel.FastPath, network programsNetwork, t networkTables) error {
	pins := p.pins(want.Device)
	return errors.Join(
		p.attach(filepath.Join(pins, devicePin), int(network.Device), p.objects.FromDevice),
		p.attachUnderlay(want.Device, int(network.Underlay)),
		p.attachPorts(want.Device, t, p.fromContainer))
}

// detachOthers detaches the programs of ports that are not wanted, and all others but those to keep.
func (p *Programs) detachOthers(want kernel.FastPath, keep ...string) error {
	for _, port := range want.Ports {
		keep = append(keep, filepath.Base(fastpath.PortPin("", "", port.MAC)))
	}
	pins := p.pins(want.Device)
	entries, err := os.ReadDir(pins)
	errs := []error{err}
	for _, e := range entries {
		if !slices.Contains(keep, e.Name()) {
			errs = append(errs, os.Remove(filepath.Join(pins, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// detach removes the programs of a network, and what the tables have of it. With the last network all
// goes.
func (p *Programs) detach(device string, ns Namespace) error {
	delete(p.takesIP, device)
	pins := p.pins(device)
	_, missing := os.Stat(pins)
	if err := os.RemoveAll(pins); err != nil {
		return err
	}
	if os.Remove(filepath.Dir(pins)) != nil { // other networks are left, or nothing is pinned
		if errors.Is(missing, os.ErrNotExist) {
			return nil
		}
		return p.clearUnused(ns)
	}
	err := fastpath.RemoveAllPinned(p.Dir)
	p.release()
	return err
}

// clearUnused deletes what tables have of VXLAN devices that are gone or have no programs.
func (p *Programs) clearUnused(ns Namespace) error {
	if p.objects == nil {
		return nil
	}
	used, err := p.attachedDevices(ns)
	if err != nil {
		return err
	}
	o := p.objects
	ports, err := dump[uint32, programsPort](o.Ports)
	if err != nil {
		return err
	}
	for _, device := range p.devices {
		if !used[device] {
			p.keepCounters(device)
		}
	}
	p.peers.free(func(k peerKey) bool { return !used[k.device] })
	maps.DeleteFunc(p.networks, func(device uint32, _ programsNetwork) bool { return !used[device] })
	maps.DeleteFunc(p.followed, func(device uint32, _ bool) bool { return !used[device] })
	maps.DeleteFunc(p.exits, func(device uint32, _ exit) bool { return !used[device] })
	only(ports, func(_ uint32, v programsPort) bool { return used[v.Network.Device] })
	ofDevice := func(k programsStation) bool { return used[k.Device] }
	return errors.Join(
		deleteWhere(o.Locals, func(k programsStation, _ uint32) bool { return !ofDevice(k) }),
		deleteWhere(o.Remotes, func(k programsStation, _ programsRemote) bool { return !ofDevice(k) }),
		deleteWhere(o.Tunnels, func(_ programsTunnel, v programsTunnelEnd) bool { return !used[v.Device] }),
		p.clearUnusedEncrypted(used),
		deleteWhere(o.Former, func(k uint32, _ programsCounters) bool { return !used[k] }),
		deleteWhere(o.Ports, func(k uint32, _ programsPort) bool { _, ok := ports[k]; return !ok }),
		deleteWhere(o.Sources, func(k programsSource, _ uint32) bool { _, ok := ports[k.Port]; return !ok }))
}

// attachedDevices are the indexes of the VXLAN devices that have programs.
func (p *Programs) attachedDevices(ns Namespace) (map[uint32]bool, error) {
	entries, err := os.ReadDir(filepath.Join(p.layoutDir(), "networks"))
	if err != nil {
		return nil, err
	}
	used := make(map[uint32]bool)
	for _, e := range entries {
		index, err := ns.Index(strings.ReplaceAll(e.Name(), ":", "."))
		if errors.Is(err, kernel.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		used[uint32(index)] = true
	}
	return used, nil
}
