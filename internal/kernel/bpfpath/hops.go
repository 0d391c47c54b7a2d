package bpfpath

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netlink"
	"vxlan-driver/internal/kernel/netns"
)

// A program that knows the next hop saves the kernel the look-up of a route, which is 5 to 10 % of a
// packet's time (BenchmarkUDP). What routes say may change at any moment, so hops are used only while somebody
// listens: after a change that may be about them the kernel looks up each packet's route again, until
// the new hops are known.

const (
	// hopsTime is for how long hops are used after the agent has last been there.
	hopsTime = 30 * time.Second
	// hopsRefresh is how often it says that it is.
	hopsRefresh = hopsTime / 3
	// routesQuiet is for how long no route must have changed before hops are looked up. Routing
	// daemons change many in a row.
	routesQuiet = time.Second
)

// FollowRoutes keeps the next hops to other hosts, until ctx is done. Without it, the kernel looks up
// the route of each packet. The namespace is that at path, or for "" the one that the caller is in.
func (p *Programs) FollowRoutes(ctx context.Context, path string) error {
	var reports *os.File
	err := netns.DoIn(path, func() (err error) {
		reports, err = netlink.Subscribe(routeReports)
		return err
	})
	if err != nil {
		return fmt.Errorf("hear of changes of routes: %w", err)
	}
	defer reports.Close()
	wanted := make(chan struct{}, 1)
	p.mu.Lock()
	p.hopsWanted = wanted
	p.mu.Unlock()
	go p.forgetHopsOnChange(reports)
	timer := time.NewTimer(routesQuiet)
	for {
		select {
		case <-ctx.Done():
			return p.forgetHops()
		case <-wanted:
			timer.Reset(routesQuiet)
		case <-timer.C:
			timer.Reset(hopsRefresh)
			if err := p.setHops(path); err != nil {
				return errors.Join(err, p.forgetHops())
			}
		}
	}
}

// routeReports are of all that a look-up of a route depends on.
var routeReports = netlink.Subscription{
	Name: "routes", Protocol: unix.NETLINK_ROUTE,
	Groups: []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE,
		unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_NEXTHOP},
}

// forgetHopsOnChange reads what the kernel reports, until the file is closed.
func (p *Programs) forgetHopsOnChange(reports *os.File) {
	buf := make([]byte, 64<<10)
	for {
		n, err := reports.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err == nil && !p.mayMoveHops(buf[:n]) {
			continue
		}
		if err != nil && !errors.Is(err, unix.ENOBUFS) { // which says that some reports were lost
			time.Sleep(routesQuiet)
		}
		p.mu.Lock()
		_ = p.forgetHopsLocked() // what is not forgotten is so when its time is over
		p.wantHops()
		p.mu.Unlock()
	}
}

// mayMoveHops tells whether something that was reported may be about the way to another host.
func (p *Programs) mayMoveHops(b []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range netlink.Messages(b) {
		if p.mayMoveHop(m) {
			return true
		}
	}
	return false
}

func (p *Programs) mayMoveHop(m netlink.Message) bool {
	switch m.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR:
		const offsetIndex = 4 // in struct ifinfomsg as in struct ifaddrmsg
		if len(m.Body) < offsetIndex+4 {
			return false
		}
		index := netlink.Uint32(m.Body[offsetIndex:])
		for _, n := range p.networks {
			if n.Underlay == index {
				return true
			}
		}
		return false
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		prefix, ok := routePrefix(m.Body)
		if !ok {
			return false
		}
		for key := range p.peers.hosts() {
			if prefix.Contains(fromAddress(key.vtep)) {
				return true
			}
		}
		return false
	}
	return true // rules and groups of next hops
}

// forgetHops lets the kernel look up the routes of packets.
func (p *Programs) forgetHops() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.forgetHopsLocked()
}

// setOfHops says how a network's packets are sent, on which their hops depend.
func (p *Programs) setOfHops(network programsNetwork) error {
	old, ok := p.networks[network.Device]
	p.networks[network.Device] = network
	if ok && old == network {
		return nil
	}
	p.wantHops()
	return p.forgetHopsLocked()
}

// wantHops has FollowRoutes look up what is not known.
func (p *Programs) wantHops() {
	select {
	case p.hopsWanted <- struct{}{}:
	default: // nobody follows, or it has not heard of the last one yet
	}
}

func (p *Programs) forgetHopsLocked() error {
	p.hops = nil
	p.hopsEra++
	if p.objects == nil {
		return nil
	}
	return p.objects.HopsJiffies.Put(uint32(0), uint64(0))
}

// dropEarlierHops drops the hops that an earlier agent has left: they would be used again as soon as this one says
// until when its own are right.
func (p *Programs) dropEarlierHops() error {
	errs := []error{p.forgetHopsLocked()}
	for _, index := range p.peers.index {
		errs = append(errs, p.objects.Hops.Put(index, programsHop{}))
	}
	return errors.Join(errs...)
}

// setHops looks up the hops that are not known, and lets the programs use all of them for a while.
func (p *Programs) setHops(path string) error {
	wanted, era := p.unknownHops()
	found, err := lookupHops(path, wanted)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objects == nil || era != p.hopsEra {
		return nil // what was found may be out of date
	}
	if p.hops == nil {
		p.hops = make(map[peerKey]uint32)
	}
	for key, route := range found {
		index, ok := p.peers.index[key]
		if !ok {
			continue // the host has left the network
		}
		if err := p.objects.Hops.Put(index, route.hop); err != nil {
			return fmt.Errorf("set next hop: %w", err)
		}
		p.hops[key] = route.mtu
	}
	if err := p.setRouteMTUs(); err != nil {
		return err
	}
	until, err := p.objects.jiffiesAfter(hopsTime)
	if err != nil {
		return err
	}
	return p.objects.HopsJiffies.Put(uint32(0), until)
}

// unknownHops are those to look up. The era changes with all that may change them.
func (p *Programs) unknownHops() (wanted []hopQuery, era int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.peers.hosts() {
		n, ok := p.networks[key.device]
		if _, isKnown := p.hops[key]; ok && !isKnown {
			wanted = append(wanted, hopQuery{n, key})
		}
	}
	return wanted, p.hopsEra
}

// setRouteMTUs keeps packets from programs that are too long for the route to one of their network's
// hosts. The VXLAN device has the kernel cut them up.
func (p *Programs) setRouteMTUs() error {
	lowest := make(map[uint32]uint32)
	for key, mtu := range p.hops {
		if _, ok := p.peers.index[key]; ok && mtu != 0 && (lowest[key.device] == 0 || mtu < lowest[key.device]) {
			lowest[key.device] = mtu
		}
	}
	if maps.Equal(lowest, p.routeMTUs) {
		return nil
	}
	p.routeMTUs = lowest
	ports, err := dump[uint32, programsPort](p.objects.Ports)
	if err != nil {
		return err
	}
	changed := make(map[uint32]programsPort)
	for index, port := range ports {
		if network, ok := p.networks[port.Network.Device]; ok {
			port.Network = p.limited(network)
			changed[index] = port
		}
	}
	return putMissing(p.objects.Ports, changed, ports)
}

// limited returns a network with the MTU that its routes allow.
func (p *Programs) limited(n programsNetwork) programsNetwork {
	if mtu := int(p.routeMTUs[n.Device]); mtu != 0 {
		n.Mtu = uint16(max(0, min(int(n.Mtu), mtu-n.overhead())))
	}
	return n
}
