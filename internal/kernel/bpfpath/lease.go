package bpfpath

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A program passes packets around all that the host does with them: an IPsec policy that is added while no
// agent is there would be gone around. So the programs take packets only while an agent looks for
// such. Without it they leave all packets alone after a while, and these go on by the other ways.

const (
	// leaseTime is for how long programs take packets after the agent has last looked. One that has crashed
	// is there again within a second, and so is one that is exchanged.
	leaseTime = time.Minute
	// leaseRefresh is how often it looks, besides when the kernel reports something.
	leaseRefresh = leaseTime / 3
)

// KeepValid lets the programs go on taking packets, until ctx is done. The namespace is that at path, or for
// "" the one that the caller is in.
func (p *Programs) KeepValid(ctx context.Context, path string) {
	ticker := time.NewTicker(leaseRefresh)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		p.mu.Lock()
		_ = p.renewLease(path) // who sets up networks meets the error too, and reports it
		p.mu.Unlock()
	}
}

// dropIfExpired takes all networks out of tables whose time is over, until each is set anew: what they have of a
// network may be hours old, and the first one that is set lets the programs of all go on.
func (p *Programs) dropIfExpired() error {
	var end uint64
	if err := p.objects.ValidJiffies.Lookup(uint32(0), &end); err != nil {
		return err
	}
	now, err := p.objects.jiffiesNow()
	if err != nil || now < end {
		return err
	}
	return errors.Join(
		deleteWhere(p.objects.Ports, func(uint32, programsPort) bool { return true }),
		deleteWhere(p.objects.Tunnels, func(programsTunnel, programsTunnelEnd) bool { return true }))
}

// extendLease renews the lease if it is not new.
func (p *Programs) extendLease(path string) error {
	if p.objects == nil {
		return nil
	}
	fresh, err := p.objects.jiffiesAfter(leaseTime - leaseRefresh)
	if err != nil || fresh < p.leaseEnd {
		return err
	}
	return p.renewLease(path)
}

// renewLease lets the programs take packets for leaseTime. They take none while IPsec is about the packets of
// any network in the tables: one that an agent before had attached may still be there.
func (p *Programs) renewLease(path string) error {
	if p.objects == nil {
		return nil
	}
	tunnels, err := dump[programsTunnel, programsTunnelEnd](p.objects.Tunnels)
	if err != nil {
		return err
	}
	end, err := p.objects.jiffiesAfter(leaseTime)
	if err != nil {
		return err
	}
	policies, err := readPolicies(path)
	if err != nil {
		return err
	}
	for t := range tunnels {
		if policies.concern(fromAddress(t.Local)) {
			end = 0
		}
	}
	if err := p.objects.ValidJiffies.Put(uint32(0), end); err != nil {
		return fmt.Errorf("let eBPF programs take packets: %w", err)
	}
	p.leaseEnd = end
	return nil
}
