package bpfpath

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/cilium/ebpf"

	"vxlan-driver/internal/kernel"
)

// What a network's programs have counted grows as long as its VXLAN device is there, as what that counts
// does: while hosts come and go, while programs are detached, and when an agent follows another.

// read returns counters, of all CPUs together.
func (p *Programs) read(index uint32) (sum programsCounters, err error) {
	var all []programsCounters
	err = p.objects.Counts.Lookup(index, &all)
	for _, c := range all {
		sum = sum.plus(c)
	}
	return sum, err
}

func (c programsCounters) plus(d programsCounters) programsCounters {
	c.SentPackets, c.SentBytes = c.SentPackets+d.SentPackets, c.SentBytes+d.SentBytes
	c.ReceivedPackets, c.ReceivedBytes = c.ReceivedPackets+d.ReceivedPackets, c.ReceivedBytes+d.ReceivedBytes
	c.UnwrappedPackets, c.UnwrappedBytes = c.UnwrappedPackets+d.UnwrappedPackets, c.UnwrappedBytes+d.UnwrappedBytes
	return c
}

// AddCounters adds what the programs took to what VXLAN devices have counted, which they do not see.
// It is by the devices' names. It leaves out one whose programs are an earlier agent's still.
func (p *Programs) AddCounters(devices map[string]kernel.LinkCounters) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, l := range devices {
		device, isKnown := p.devices[name]
		if (!isKnown || p.objects == nil) && p.hasPins(name) {
			delete(devices, name)
			continue
		}
		if !isKnown {
			continue
		}
		inTables, err := p.countersInTables(device)
		if err != nil {
			return fmt.Errorf("read counters of eBPF programs: %w", err)
		}
		sum := p.counted[device].plus(inTables)
		l.SentPackets, l.SentBytes = l.SentPackets+sum.SentPackets, l.SentBytes+sum.SentBytes
		l.ReceivedPackets, l.ReceivedBytes = l.ReceivedPackets+sum.ReceivedPackets, l.ReceivedBytes+sum.ReceivedBytes
		devices[name] = l
	}
	return nil
}

// hasPins tells whether a VXLAN device's network has something pinned.
func (p *Programs) hasPins(device string) bool {
	_, err := os.Lstat(p.pins(device))
	return err == nil
}

// HostCounters returns what the programs of a VXLAN device's network have sent to and received from each
// other host that has containers now, by its VTEP.
func (p *Programs) HostCounters(device string) (map[netip.Addr]kernel.LinkCounters, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[netip.Addr]kernel.LinkCounters)
	for key, index := range p.peers.hosts() {
		if own, ok := p.devices[device]; !ok || key.device != own {
			continue
		}
		c, err := p.read(index)
		if err != nil {
			return nil, fmt.Errorf("read counters of eBPF programs: %w", err)
		}
		all[fromAddress(key.vtep)] = kernel.LinkCounters{
			SentPackets: c.SentPackets, SentBytes: c.SentBytes,
			ReceivedPackets: c.ReceivedPackets + c.UnwrappedPackets, ReceivedBytes: c.ReceivedBytes + c.UnwrappedBytes,
		}
	}
	return all, nil
}

// countersInTables returns the counters of a network's hosts, and of those that it had before.
func (p *Programs) countersInTables(device uint32) (sum programsCounters, err error) {
	if p.objects == nil {
		return sum, nil
	}
	err = p.objects.Former.Lookup(device, &sum)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return sum, err
	}
	for key, index := range p.peers.hosts() {
		if key.device != device {
			continue
		}
		c, err := p.read(index)
		if err != nil {
			return sum, err
		}
		sum = sum.plus(c)
	}
	return sum, nil
}

// keepCounters keeps what tables have of a network that are about to go.
func (p *Programs) keepCounters(device uint32) {
	sum, err := p.countersInTables(device)
	if err != nil {
		return // it counts anew
	}
	if p.counted == nil {
		p.counted = make(map[uint32]programsCounters)
	}
	p.counted[device] = p.counted[device].plus(sum)
}

// forgetPeers frees the counters of a network's hosts that have no container any more. have are all
// of its remotes.
func (p *Programs) forgetPeers(device uint32, have map[programsStation]programsRemote) error {
	used := newPeerTable(have).index
	var former programsCounters
	p.peers.free(func(k peerKey) bool {
		if _, ok := used[k]; ok || k.device != device {
			return false
		}
		if c, err := p.read(p.peers.index[k]); err == nil {
			former = former.plus(c)
		}
		return true
	})
	if former == (programsCounters{}) {
		return nil
	}
	var before programsCounters
	if err := p.objects.Former.Lookup(device, &before); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return p.objects.Former.Put(device, before.plus(former))
}
