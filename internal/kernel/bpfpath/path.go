package bpfpath

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fastpath"
	"vxlan-driver/internal/kernel/netns"
)

// Path is the fastpath.Path of a namespace with programs.
type Path struct {
	fastpath.Redirector // what the programs do not take
	programs            *Programs
	ns                  Namespace
	nspath              string // of the namespace
}

// Set implements fastpath.Path. Where the programs cannot be used, packets go as they did without
// them, and State tells why.
func (p Path) Set(want kernel.FastPath) error {
	below := p.Redirector.Set(want)
	if errors.Is(below, kernel.ErrPortsNeeded) {
		return below
	}
	// After any other error the programs must follow all the same, or they would pass by what is new.
	p.programs.mu.Lock()
	defer p.programs.mu.Unlock()
	if !want.SkipPorts {
		p.programs.forgetLater(want.Device)
	}
	err := netns.DoIn(p.nspath, func() error {
		switch {
		case want.Encrypted != nil:
			return p.setEncrypted(want)
		case want.IsEmpty():
			return p.setNothing(want)
		}
		return p.set(want)
	})
	err = withoutRoom(err)
	if unfit, ok := errors.AsType[unfitError](err); ok {
		p.programs.setState(want.Device, State{Reason: unfit.reason})
		return errors.Join(below, p.programs.detach(want.Device, p.ns))
	}
	switch {
	case errors.Is(below, kernel.ErrNoFastPath):
		return err // the programs do without
	case errors.Is(err, kernel.ErrFastPathUnfinished) && below != nil:
		return below // that the rest comes later would hide it
	}
	return errors.Join(below, err)
}

// withoutRoom makes errors of tables that take no more entries a reason to do without programs: what is in the tables
// may be out of date then.
func withoutRoom(err error) error {
	switch {
	case errors.Is(err, unix.E2BIG):
		return unfitError{"a table of the eBPF programs is full"}
	case errors.Is(err, unix.ENOMEM): // as of the agent's control group, too
		return unfitError{"there is no memory for the tables of the eBPF programs"}
	}
	return err
}

// setNothing detaches the programs. It forgets why a network has none, unless that still holds: one with
// port security does not even ask for a fast path meanwhile.
func (p Path) setNothing(want kernel.FastPath) error {
	stillUnfit := false
	if want.PortSecurity {
		_, _, err := p.checkNetwork(want)
		stillUnfit = err != nil || p.programs.load() != nil
	}
	if !stillUnfit {
		delete(p.programs.states, want.Device)
	}
	return p.programs.detach(want.Device, p.ns)
}

// checkNetwork returns how a network's packets are wrapped, and what others do with packets. The error
// is an unfitError if programs must not take the network's.
func (p Path) checkNetwork(want kernel.FastPath) (network programsNetwork, o others, err error) {
	if network, err = describe(p.ns, want); err != nil {
		return network, o, err
	}
	if err = p.checkEncryption(want); err != nil {
		return network, o, err
	}
	if err = p.checkRules(); err != nil {
		return network, o, err
	}
	if o, err = p.findOthers(); err != nil {
		return network, o, err
	}
	return network, o, p.checkDevice(o, want.Device)
}

func (p Path) set(want kernel.FastPath) error {
	if want.SkipPorts {
		return p.setKnownRemotes(want)
	}
	index, err := p.ns.Index(want.Device)
	if err != nil {
		return err
	}
	p.programs.noteDevice(want.Device, uint32(index))
	network, others, err := p.checkNetwork(want)
	if err != nil {
		return err
	}
	ports, err := p.setPorts(want)
	if err != nil {
		return err
	}
	fit, why := others.leaveOut(ports)
	state := State{LeftOut: len(ports) - len(fit), LeftOutReason: why}
	if want.Ports = fit; len(want.Ports) == 0 {
		p.programs.setState(want.Device, state)
		return p.programs.detach(want.Device, p.ns)
	}
	if p.programs.mustLoadLater(want.Device) {
		return kernel.ErrFastPathUnfinished
	}
	if err := p.programs.load(); err != nil {
		return unfitError{err.Error()}
	}
	err = p.programs.setNetwork(want, network, p.ns)
	if err == nil || errors.Is(err, kernel.ErrFastPathUnfinished) {
		state.Attached, state.PortSecurity = true, want.PortSecurity
		p.programs.setState(want.Device, state)
		err = errors.Join(err, p.programs.extendLease(p.nspath))
	}
	return err
}

// setPorts tells the bridge which MACs are behind its ports: it cannot learn from packets that do not
// pass it. It returns the ports that are on the bridge.
func (p Path) setPorts(want kernel.FastPath) (attached []kernel.FastPathPort, err error) {
	if want.Ports, err = p.AttachedPorts(want); err != nil {
		return nil, err
	}
	return want.Ports, p.SetStaticEntries(want)
}

// checkEncryption keeps the programs from sending around IPsec, which they know nothing of.
func (p Path) checkEncryption(want kernel.FastPath) error {
	device, err := p.ns.Link(want.Device, 0)
	if err != nil {
		return err
	}
	policies, err := readPolicies(p.nspath)
	if err != nil {
		return err
	}
	if policies.concern(device.Tunnel.Local) {
		return unfitError{fmt.Sprintf("an IPsec policy is about packets of %s", device.Tunnel.Local)}
	}
	return nil
}

// setKnownRemotes sets what is looked at of the MACs on other hosts, while the rest stays.
func (p Path) setKnownRemotes(want kernel.FastPath) error {
	if p.programs.objects == nil || !p.programs.states[want.Device].Attached {
		return nil // without programs, or not yet
	}
	index, err := p.ns.Index(want.Device)
	if err != nil {
		return err
	}
	return p.programs.setRemotes(want, uint32(index))
}

// Remote returns the MACs on other hosts that packets are sent to past the bridge, in any order. As it reads the
// whole table, it also gives back the counters and next hops of hosts that are in it no more.
func (p Path) Remote(want kernel.FastPath) ([]kernel.MAC, error) {
	below, err := p.Redirector.Remote(want.Device)
	if err != nil {
		return nil, err
	}
	p.programs.mu.Lock()
	defer p.programs.mu.Unlock()
	state := p.programs.states[want.Device]
	if !state.Attached || p.programs.objects == nil {
		return below, nil
	}
	index, err := p.ns.Index(want.Device)
	if err != nil {
		return nil, err
	}
	all, err := dump[programsStation, programsRemote](p.programs.objects.Remotes)
	if err != nil {
		return nil, err
	}
	only(all, func(k programsStation, _ programsRemote) bool { return k.Device == uint32(index) })
	if err := p.programs.forgetPeers(uint32(index), all); err != nil {
		return nil, err
	}
	vteps := make(map[kernel.MAC]programsAddress, len(all))
	for k, v := range all {
		vteps[k.Mac] = v.Vtep
	}
	if state.PortSecurity { // then below has none
		below = want.Remote
	}
	return agreed(want, below, vteps), nil
}

// agreed returns the MACs that both ways send where they should, and those that one of them should not
// have. It uses up vteps.
func agreed(want kernel.FastPath, below []kernel.MAC, vteps map[kernel.MAC]programsAddress) (macs []kernel.MAC) {
	wanted := make(map[kernel.MAC]programsAddress, len(want.Remote))
	for i, mac := range want.Remote {
		wanted[mac] = toAddress(want.FDB[i].Dst)
	}
	for _, mac := range below {
		vtep, isWanted := wanted[mac]
		if at, ok := vteps[mac]; !isWanted || ok && at == vtep {
			macs = append(macs, mac)
		}
		delete(vteps, mac)
	}
	for mac := range vteps {
		if _, isWanted := wanted[mac]; !isWanted {
			macs = append(macs, mac)
		}
	}
	return macs
}
