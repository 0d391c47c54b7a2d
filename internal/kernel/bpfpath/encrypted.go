package bpfpath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vxlan-driver/internal/kernel"
)

// IP packets of an encrypted network pass between a container's port and a WireGuard device without a VXLAN header, if
// the other host takes them. All others go as VXLAN inside WireGuard, by the bridge or by the fast path of nftables.
//
// What others have sent without a header is lost without the program on the WireGuard device. So that stays where the
// ports' programs do not: it hands packets to the VXLAN device then, as if that had unwrapped them.

// setEncrypted sets the path of an encrypted network.
func (p Path) setEncrypted(want kernel.FastPath) error {
	if want.SkipPorts {
		return p.setKnownEncrypted(want)
	}
	index, err := p.ns.Index(want.Device)
	if err != nil {
		return err
	}
	p.programs.noteDevice(want.Device, uint32(index))
	ends, err := p.wireguardEnds(want)
	if err != nil {
		return err
	}
	if len(ends) == 0 || len(want.Encrypted.Local) == 0 {
		delete(p.programs.states, want.Device)
		return p.programs.detach(want.Device, p.ns)
	}
	want, state, err := p.fitPorts(want)
	if err != nil {
		return err
	}
	if p.programs.mustLoadLater(want.Device) {
		return kernel.ErrFastPathUnfinished
	}
	if err := p.programs.load(); err != nil {
		return unfitError{err.Error()}
	}
	err = p.programs.setEncryptedNetwork(want, uint32(index), ends, p.ns, p.nspath)
	if err == nil || errors.Is(err, kernel.ErrFastPathUnfinished) {
		state.Attached = len(want.Ports) > 0
		state.PortSecurity = state.Attached && want.PortSecurity
		p.programs.setState(want.Device, state)
		err = errors.Join(err, p.programs.extendLease(p.nspath))
	}
	return err
}

// setKnownEncrypted sets what is looked at of other hosts, while the rest stays.
func (p Path) setKnownEncrypted(want kernel.FastPath) error {
	if p.programs.objects == nil || p.programs.takesIP[want.Device] == nil {
		return nil // without programs, or not yet
	}
	index, err := p.ns.Index(want.Device)
	if err != nil {
		return err
	}
	ends, err := p.wireguardEnds(want)
	if err != nil {
		return err
	}
	return errors.Join(
		p.programs.setRemotes(want, uint32(index)),
		p.programs.setAddresses(want, uint32(index)),
		p.programs.setExit(want, uint32(index), ends[want.Encrypted.Send].index, p.nspath))
}

// wireguardEnd is a WireGuard device that is there.
type wireguardEnd struct {
	index uint32
	mtu   int // of the network's packets by it
}

// wireguardEnds returns the WireGuard devices of a network, by their names.
func (p Path) wireguardEnds(want kernel.FastPath) (map[string]wireguardEnd, error) {
	ends := make(map[string]wireguardEnd)
	for _, name := range want.Encrypted.Receive {
		device, err := p.ns.Link(name, 0)
		if errors.Is(err, kernel.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !device.IsOurWireGuard() {
			continue // another program's: it would send in plaintext
		}
		index, err := p.ns.Index(name)
		if err != nil && !errors.Is(err, kernel.ErrNotFound) {
			return nil, err
		}
		if index != 0 {
			ends[name] = wireguardEnd{uint32(index), device.MTU}
		}
	}
	return ends, nil
}

// fitPorts leaves the ports in the wish that the programs may take packets of. The state says why not of others.
func (p Path) fitPorts(want kernel.FastPath) (kernel.FastPath, State, error) {
	o, err := p.findOthers()
	if err != nil {
		return want, State{}, err
	}
	err = p.checkDevice(o, want.Device)
	if unfit, ok := errors.AsType[unfitError](err); ok {
		want.Ports = nil
		return want, State{Reason: unfit.reason}, nil
	}
	if want.IsEmpty() || err != nil {
		want.Ports = nil
		return want, State{}, err
	}
	ports, err := p.setPorts(want)
	if err != nil {
		return want, State{}, err
	}
	fit, why := o.leaveOut(ports)
	state := State{LeftOut: len(ports) - len(fit), LeftOutReason: why}
	want.Ports = fit
	return want, state, nil
}

// setEncryptedNetwork fills the tables of an encrypted network, and attaches its programs: first those that receive.
func (p *Programs) setEncryptedNetwork(want kernel.FastPath, device uint32, ends map[string]wireguardEnd,
	ns Namespace, nspath string) (err error) {
	defer func() { p.followed[device] = err == nil || errors.Is(err, kernel.ErrFastPathUnfinished) }()
	have, err := p.prepare(want, device, ns)
	if err != nil {
		return err
	}
	network, err := encryptedNetwork(want, device, ends, ns)
	if err != nil {
		return err
	}
	want.Sources = nil // the addresses tell
	t, err := wantedTables(want, network, ns)
	if err != nil {
		return err
	}
	err = errors.Join(
		p.setRemotes(want, device), p.setAddresses(want, device), p.setWireguardEnds(network, ends),
		putMissing(p.objects.Ports, t.ports, have.ports), putMissing(p.objects.Locals, t.locals, have.locals))
	if err != nil {
		return fmt.Errorf("fill tables of %s: %w", want.Device, err)
	}
	attachErr := errors.Join(
		p.attachWireguard(want.Device, ends), p.setExit(want, device, ends[want.Encrypted.Send].index, nspath),
		p.attachEncryptedPorts(want, network, t, ends))
	if attachErr != nil && !errors.Is(attachErr, kernel.ErrFastPathUnfinished) {
		return fmt.Errorf("attach programs of %s: %w", want.Device, attachErr)
	}
	return errors.Join(
		attachErr,
		deleteExtra(p.objects.Locals, t.locals, have.locals),
		deleteExtra(p.objects.Ports, t.ports, have.ports),
		deleteExtra(p.objects.Sources, t.sources, have.sources))
}

// encryptedNetwork returns what the programs need to know of an encrypted network. It says nothing of how a packet is
// wrapped: no program may do so.
func encryptedNetwork(want kernel.FastPath, device uint32, ends map[string]wireguardEnd,
	ns Namespace) (n programsNetwork, err error) {
	link, err := ns.Link(want.Device, 0)
	if err != nil {
		return n, err
	}
	mtu := link.MTU
	for _, e := range ends {
		mtu = min(mtu, e.mtu)
	}
	n = programsNetwork{Device: device, Mtu: uint16(min(max(mtu, 0), 0xffff)), Flags: networkEncrypted}
	if want.PortSecurity {
		n.Flags |= networkPortSecurity
	}
	return n, nil
}

// setWireguardEnds says which network the packets of WireGuard devices are of.
func (p *Programs) setWireguardEnds(n programsNetwork, ends map[string]wireguardEnd) error {
	wanted := make(map[uint32]programsWireguardEnd)
	for _, e := range ends {
		wanted[e.index] = programsWireguardEnd{Device: n.Device, Mtu: uint32(n.Mtu)}
	}
	have, err := dump[uint32, programsWireguardEnd](p.objects.WireguardEnds)
	if err != nil {
		return err
	}
	only(have, func(_ uint32, e programsWireguardEnd) bool { return e.Device == n.Device })
	return errors.Join(
		putMissing(p.objects.WireguardEnds, wanted, have), deleteExtra(p.objects.WireguardEnds, wanted, have))
}

// attachWireguard attaches the programs of WireGuard devices, and notes those that have one.
func (p *Programs) attachWireguard(device string, ends map[string]wireguardEnd) error {
	pins := p.pins(device)
	taken, errs := []string{}, []error{}
	for name, e := range ends {
		err := p.attach(filepath.Join(pins, wireguardPinOf(name)), int(e.index), p.objects.FromWireguard)
		if errs = append(errs, err); err == nil {
			taken = append(taken, name)
		}
	}
	if p.takesIP == nil {
		p.takesIP = make(map[string][]string)
	}
	slices.Sort(taken)
	p.takesIP[device] = taken
	return errors.Join(errs...)
}

// wireguardPinOf is what attaches the program of a WireGuard device.
func wireguardPinOf(name string) string { return wireguardPin + strings.ReplaceAll(name, ".", ":") }

// attachEncryptedPorts attaches the programs of containers' ports, and that of the VXLAN device. With no port there is
// none of that either: others may do something with the packets of the device.
func (p *Programs) attachEncryptedPorts(want kernel.FastPath, network programsNetwork, t networkTables,
	ends map[string]wireguardEnd) error {
	var keep []string
	for name := range ends {
		keep = append(keep, wireguardPinOf(name))
	}
	if len(want.Ports) == 0 {
		return p.detachOthers(want, keep...)
	}
	device := filepath.Join(p.pins(want.Device), devicePin)
	return errors.Join(
		p.detachOthers(want, append(keep, devicePin)...),
		p.attach(device, int(network.Device), p.objects.FromDevice),
		p.attachPorts(want.Device, t, p.fromEncrypted))
}

// TakesIP returns the WireGuard devices of a VXLAN device's network whose IP packets without a VXLAN header this host
// takes, sorted. Before the network is set up they are those of an earlier agent.
func (p *Programs) TakesIP(device string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	pins := p.pins(device)
	if names, ok := p.takesIP[device]; ok {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			_, err := os.Lstat(filepath.Join(pins, wireguardPinOf(name)))
			return err != nil // a plugin has removed it
		})
	}
	found, err := filepath.Glob(filepath.Join(pins, wireguardPin+"*"))
	if err != nil {
		return nil
	}
	var names []string
	for _, pin := range found {
		l, at, err := openPinned(pin)
		if l != nil {
			l.Close()
		}
		if err == nil && at != 0 {
			names = append(names, strings.ReplaceAll(strings.TrimPrefix(filepath.Base(pin), wireguardPin), ":", "."))
		}
	}
	return names
}

// clearUnusedEncrypted deletes what tables of encrypted networks have of VXLAN devices that are gone or have no
// programs.
func (p *Programs) clearUnusedEncrypted(used map[uint32]bool) error {
	o := p.objects
	return errors.Join(
		deleteWhere(o.Addresses, func(k programsPlace, _ programsOwner) bool { return !used[k.Device] }),
		deleteWhere(o.Takers, func(k programsPlace, _ uint32) bool { return !used[k.Device] }),
		p.clearExits(used),
		deleteWhere(o.WireguardEnds, func(_ uint32, e programsWireguardEnd) bool { return !used[e.Device] }))
}

// clearExits deletes the WireGuard devices by which packets of such VXLAN devices leave. The kernel returns one
// entry of this table at a time.
func (p *Programs) clearExits(used map[uint32]bool) error {
	have := make(map[uint32]uint32)
	var device, send uint32
	entries := p.objects.Wireguard.Iterate()
	for entries.Next(&device, &send) {
		if !used[device] {
			have[device] = send
		}
	}
	return errors.Join(entries.Err(), deleteExtra(p.objects.Wireguard, map[uint32]uint32(nil), have))
}
