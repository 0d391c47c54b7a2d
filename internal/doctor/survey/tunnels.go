package survey

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/echo"
)

const (
	// maxTunnels bounds how many hosts of a network are asked through the tunnel, all at once.
	maxTunnels = 16
	// tunnelPings of the full size miss a loss of 5 % in one of 170 times, and of 2 % in one of eight. If
	// one is lost there are as many again, twice.
	tunnelPings    = 100
	tunnelPingWait = 200 * time.Millisecond
	maxTunnelLost  = 15 // pings, after which no more are sent: somebody waits
	// heardAge is as long as the kernel keeps what a VXLAN device has learned.
	heardAge = 300
)

// tunnels asks other hosts through the tunnels that no agent tests. Each host of a list has an address
// of its own in the network, on its bridge, while a container of the network runs there.
func (c *collector) tunnels() {
	var asking sync.WaitGroup
	for i := range c.Networks {
		n := &c.Networks[i]
		if n.NeedsAgent() && c.Agent.Report != nil {
			continue
		}
		n.Tunnels = c.tunnelEnds(n)
		for at := range n.Tunnels {
			asking.Go(func() { askThroughTunnel(n, &n.Tunnels[at]) })
		}
	}
	asking.Wait()
	for i := range c.Networks {
		c.probeSilent(&c.Networks[i])
	}
}

// tunnelEnds returns the other hosts whose addresses in the network are known. Those that were heard
// lately come first.
func (c *collector) tunnelEnds(n *doctor.Network) (ends []doctor.Tunnel) {
	learned, attempts := c.learnedHosts(n), c.attempts(n)
	for _, s := range n.Subnets {
		for _, part := range ipam.Slices(n.Network, n.VTEP, s) {
			isKnown := slices.ContainsFunc(ends, func(t doctor.Tunnel) bool { return t.Host == part.Host })
			if !part.Host.IsValid() || part.Host == n.VTEP.Local || !part.HostAddress.IsValid() || isKnown {
				continue
			}
			end := doctor.Tunnel{Host: part.Host, Addr: part.HostAddress, Learned: learned[part.Host]}
			for _, a := range attempts {
				if part.Lease.Contains(a.addr) {
					end.Wanted = append(end.Wanted,
						fmt.Sprintf("container %s looked for %s, which is of that host's range", a.container, a.addr))
				}
			}
			ends = append(ends, end)
		}
	}
	slices.SortStableFunc(ends, func(a, b doctor.Tunnel) int {
		switch {
		case a.WasHeard() == b.WasHeard():
			return 0
		case a.WasHeard():
			return -1
		}
		return 1
	})
	return ends[:min(len(ends), maxTunnels)]
}

// learnedHosts are hosts behind which the VXLAN device has learned a MAC that it still has.
func (c *collector) learnedHosts(n *doctor.Network) map[netip.Addr]string {
	var entries []struct {
		Mac, Dst, State string
	}
	_ = c.readJSON(&entries, "bridge", "-j", "fdb", "show", "dev", n.Device.Name) // see the checks of devices
	hosts := make(map[netip.Addr]string)
	for _, e := range entries {
		if host, err := netip.ParseAddr(e.Dst); err == nil && e.State != "permanent" && e.State != "static" {
			hosts[host] = e.Mac
		}
	}
	return hosts
}

// attempt is that a container looked for an address.
type attempt struct {
	container string
	addr      netip.Addr
}

// attempts are the addresses that containers looked for lately, and whose MAC they do not know.
func (c *collector) attempts(n *doctor.Network) (all []attempt) {
	for _, e := range n.Endpoints[:min(len(n.Endpoints), maxPorts)] {
		var known []struct {
			Dst, Lladdr string
			Used        int
		}
		if e.Namespace == "" ||
			c.readJSON(&known, "nsenter", "--net="+e.Namespace, "ip", "-s", "-j", "neigh", "show", "dev", e.Interface) != nil {
			continue // it is ending
		}
		for _, k := range known {
			if addr, err := netip.ParseAddr(k.Dst); err == nil && k.Lladdr == "" && k.Used < heardAge {
				all = append(all, attempt{e.ContainerName, addr})
			}
		}
	}
	return all
}

// askThroughTunnel pings a host's own address. Of pings of the full size it counts what is lost, or
// finds out which size passes.
func askThroughTunnel(n *doctor.Network, t *doctor.Tunnel) {
	t.Size = n.VTEP.MTU
	conn, err := echo.Open("", netip.Addr{}, t.Addr)
	if err != nil {
		return // see the checks of devices
	}
	defer conn.Close()
	small := func() bool {
		_, err := conn.Echo(echo.DefaultSize, tunnelPingWait)
		return err == nil
	}
	if !slices.ContainsFunc(make([]struct{}, exchangeTry+1), func(struct{}) bool { return small() }) {
		// Of an encrypted network nothing may leave by the underlay, and what the port there answers says nothing.
		t.Refused = !n.Encrypts() && refusesUDP(n.VTEP.Local, netip.AddrPortFrom(t.Host, n.Tunnel.Port))
		return
	}
	t.Answers, t.Pinged = true, true
	for lost := 0; lost < maxTunnelLost &&
		(t.Sent < tunnelPings || lost > 0 && t.Sent < 3*tunnelPings); lost = t.Sent - t.Answered {
		t.Sent++
		if _, err := conn.Echo(t.Size, tunnelPingWait); err == nil {
			t.Answered++
		}
	}
	if t.Answered == 0 {
		t.Passing, _ = conn.Largest(echo.DefaultSize, t.Size, tunnelPingWait) // 0 is said to be unknown
	}
}

// probeSilent asks by ARP or ND for the addresses of hosts that do not answer a ping, as they may be
// told not to. Where the bridge knows MACs from an agent it would answer itself.
func (c *collector) probeSilent(n *doctor.Network) {
	var addrs []netip.Addr
	for _, t := range n.Tunnels {
		if !t.Answers && !n.NeedsAgent() {
			addrs = append(addrs, t.Addr)
		}
	}
	for _, answer := range c.claimants(n.Bridge.Name, kernel.ProbeSender{Addrs: hostAddrsOf(n)}, addrs) {
		for i := range n.Tunnels {
			n.Tunnels[i].Answers = n.Tunnels[i].Answers || n.Tunnels[i].Addr == answer.Addr
		}
	}
}

func hostAddrsOf(n *doctor.Network) (addrs []netip.Addr) {
	for _, s := range n.Subnets {
		if s.HostAddress.IsValid() {
			addrs = append(addrs, s.HostAddress)
		}
	}
	return addrs
}

// refusesUDP tells whether a host says that nobody has a UDP port. One that has it is silent.
func refusesUDP(from netip.Addr, to netip.AddrPort) bool {
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(to))
	if err != nil {
		return false
	}
	defer conn.Close()
	for range exchangeTry {
		_ = conn.SetDeadline(time.Now().Add(tunnelPingWait))
		if _, err = conn.Write([]byte{0x08, 0, 0, 0, 0, 0, 0,
			0}); err == nil { // a header with the VNI 0, which no network has
			_, err = conn.Read(make([]byte, 1))
		}
		if errors.Is(err, unix.ECONNREFUSED) {
			return true
		}
	}
	return false
}
