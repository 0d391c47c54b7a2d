package survey

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/echo"
)

const (
	// maxPinged bounds how many hosts of a network are pinged, all at once.
	maxPinged = 16
	pingWait  = 400 * time.Millisecond
)

// pingPaths finds out by ping what fits the way to other hosts, where no agent has found out that full
// frames pass the tunnel: of the whole way, or what a router says of a link.
func (c *collector) pingPaths(n *doctor.Network) {
	var pinging sync.WaitGroup
	pinged := 0
	for i := range n.Paths {
		p := &n.Paths[i]
		if p.Route.Interface == "" || pinged >= maxPinged || fullFramesPass(c.Agent.Report, n.Name, p.To) {
			continue
		}
		pinged++
		pinging.Go(func() {
			p.Ping = pingPath(n.VTEP.Local, p.To, min(n.VTEP.MTU+n.Overhead(n.VTEP.Local.Is6()), n.Underlay.MTU))
		})
	}
	pinging.Wait()
	for i := range n.Paths {
		p := &n.Paths[i]
		via := wordAfter(p.Matched, "via")
		if router, err := netip.ParseAddr(via); err == nil && p.Ping.IsSilent() && p.Route.Interface == n.VTEP.Interface {
			from := kernel.ProbeSender{Addrs: []netip.Addr{n.VTEP.Local}}
			if len(c.claimants(n.VTEP.Interface, from, []netip.Addr{router})) == 0 {
				p.DeadRouter = router
			}
		}
	}
}

// fullFramesPass tells whether the agent's last probe found that frames of the full size pass.
func fullFramesPass(r *agentapi.StatusReport, network string, to netip.Addr) bool {
	if r == nil {
		return false
	}
	for _, c := range r.Clusters {
		for _, h := range c.Hosts {
			passes := func(p agentapi.PathStatus) bool { return p.Network == network && p.VTEP == to && p.MTU == p.FullSize }
			if slices.ContainsFunc(h.Paths, passes) {
				return true
			}
		}
	}
	return false
}

// pingPath pings with packets of a size that must not be fragmented, and with small ones.
func pingPath(from, to netip.Addr, size int) (p doctor.PathPing) {
	conn, err := echo.Open("", from, to)
	if err != nil {
		return p // see the checks of routes
	}
	defer conn.Close()
	if conn.ReportTooBig() != nil {
		return p
	}
	passes := func(size int) bool {
		for range 2 {
			_, err := conn.Echo(size, pingWait)
			if said, ok := conn.TooBig(); ok {
				p.Router, p.RouterMTU = said.Router, said.MTU
				return false
			}
			if err == nil {
				return true
			}
		}
		return false
	}
	p.Size = size
	if p.Full = passes(size); p.Full {
		return p
	}
	p.Small = passes(echo.DefaultSize)
	if !p.Small || p.RouterMTU > 0 {
		p.Passing = p.RouterMTU
		return p
	}
	p.Passing = echo.DefaultSize
	for lost := size; lost-p.Passing > 1; {
		if middle := (lost + p.Passing) / 2; passes(middle) {
			p.Passing = middle
		} else {
			lost = middle
		}
	}
	return p
}
