package survey

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// Zones is firewalld.
type Zones interface {
	// ZoneOf returns the zone of a device, "" if it is in none, and whether firewalld runs.
	ZoneOf(device string) (zone string, running bool, err error)
}

// Surveyor finds out the facts about a host.
type Surveyor struct {
	Host  *hoststate.Host
	Zones Zones
	// Examine returns the agent's report. The error is agentapi.ErrNotRunning if there is none.
	Examine func(context.Context) (agentapi.StatusReport, error)
	// Binary returns the path of the agent's program, "" if it is not installed.
	Binary func() string
}

// Facts finds out the facts. What it could not find out is among them.
func (s Surveyor) Facts(ctx context.Context) doctor.Facts {
	c := collector{on: s, ctx: ctx}
	c.Host, _ = os.Hostname()
	before := c.overflows()
	if c.lock(); c.LockHolder.Path != "" {
		return c.Facts // all else would wait for the lock, up to a minute
	}
	inspection := c.inspect()
	ns, err := s.Host.Open("")
	if err != nil {
		c.stopListening()
		c.gap("the host's network", err)
		return c.Facts
	}
	defer ns.Close()
	c.ns = ns
	for _, n := range inspection.Networks {
		c.Networks = append(c.Networks, c.network(n))
	}
	c.definitions()
	c.blocking(inspection.Networks)
	c.firewalld()
	c.kernel()
	c.devices()
	c.collectors()
	c.strays()
	c.zones()
	c.encryption()
	c.managers()
	c.sysctlFiles()
	c.portFiles()
	c.denials()
	c.links()
	c.rules()
	c.refused()
	c.hooks()
	c.sockets()
	c.routing()
	c.ways()
	c.ownAddresses()
	c.flags()
	c.unseen()
	c.insides()
	c.entries()
	c.podman()
	c.containersConf()
	c.resolvConfs()
	c.upstreams()
	c.contacts()
	c.tunnels()
	c.limits(before)
	c.dirs()
	c.traffic()
	c.filters()
	return c.Facts
}

// collector collects facts.
type collector struct {
	doctor.Facts
	on  Surveyor
	ctx context.Context
	ns  hoststate.Namespace
	// legacy has the rules of iptables-legacy, by program.
	legacy map[string]string

	stopListening func() []doctor.Stream
	sumsBefore    map[place]sumCounters
}

// listen begins to listen to the networks' packets.
func (c *collector) listen(networks []hoststate.Network) {
	var all []doctor.Network
	for _, n := range networks {
		all = append(all, doctor.Network{HostNetwork: n.HostNetwork()})
	}
	c.sumsBefore = readSumCounters(all)
	c.stopListening = Listen(all)
}

// traffic makes containers talk to those of other hosts, and tells what passed since listen.
func (c *collector) traffic() {
	exchanges := Exchange(c.ctx, c.Networks)
	for i, n := range c.Networks {
		c.Networks[i].Exchanges = exchanges[n.Name]
	}
	c.Traffic = c.stopListening()
	c.BadSums = grown(c.sumsBefore, readSumCounters(c.Networks))
}

// gap notes what could not be found out.
func (c *collector) gap(what string, err error) {
	if err == nil {
		return
	}
	g := doctor.Gap{What: what, Why: err.Error()}
	if missing, ok := errors.AsType[*exec.Error](err); ok {
		g.Lacks = missing.Name
		if name := packageOf(missing.Name); name != "" {
			g.Install = reinstallCommand(name)
		}
	}
	c.Gaps = append(c.Gaps, g)
}

// repairTime is longer than an agent takes to repair what was altered.
const repairTime = 1500 * time.Millisecond

// inspect compares the host with what it should be, and finds out how the agent is. What an agent is
// about to repair, or a start to complete, is gone at a second look.
func (c *collector) inspect() hoststate.Inspection {
	found, err := c.on.Host.Inspect()
	c.listen(found.Networks)
	c.agent(found.Networks)
	if err == nil && len(found.Changes)+len(found.MissingPorts) > 0 && c.Agent.Report != nil {
		sleep(c.ctx, repairTime)
		found, err = c.on.Host.Inspect()
	}
	c.gap("the state of networks", err)
	for _, e := range flatten(found.Err) {
		c.noteInspectError(found.Networks, e)
	}
	c.RulesIntact, c.Moved = found.RulesIntact, found.Warnings
	for _, p := range found.Changes {
		c.Changes = append(c.Changes, doctor.Change(p))
	}
	for _, m := range found.MissingPorts {
		c.MissingPorts = append(c.MissingPorts, doctor.MissingPort(m))
	}
	for _, e := range flatten(found.Unrecorded) {
		c.Unrecorded = append(c.Unrecorded, e.Error())
	}
	misplaced, err := c.on.Host.Misplaced(found.Networks)
	c.gap("Podman's networks", err)
	c.Misplaced = make(map[string]string)
	for name, err := range misplaced {
		c.Misplaced[name] = strings.TrimPrefix(err.Error(), "network "+name+": ")
	}
	return found
}

// flatten returns the errors that were joined.
func flatten(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// network finds out what a network finds on the host.
func (c *collector) network(n hoststate.Network) doctor.Network {
	facts := doctor.Network{HostNetwork: n.HostNetwork(), Unplaceable: n.Unplaceable()}
	home := n.VTEP.Interface
	if n.VTEP.Home.Local.IsValid() {
		home = n.VTEP.Home.Interface
	}
	var err error
	facts.Underlay, err = c.ns.Interface(home)
	c.gap("the interface "+home, err)
	if facts.Underlay.Name == "" {
		facts.Holder = c.holderOf(cmp.Or(n.VTEP.Home.Local, n.VTEP.Local))
	} else if local := cmp.Or(n.VTEP.Home.Local, n.VTEP.Local); !facts.Underlay.HasAddr(local) {
		facts.Narrow = c.narrowAddrs(home, local)
	}
	for _, to := range n.VTEP.Remotes[:min(len(n.VTEP.Remotes), maxPaths)] {
		facts.Paths = append(facts.Paths, c.path(n.VTEP, to))
	}
	c.pingPaths(&facts)
	facts.Elsewhere = append(c.claimants(home, kernel.ProbeSender{}, []netip.Addr{n.VTEP.Local}), c.gatewayClaimants(n)...)
	c.neighbours(&facts)
	c.silent(n, &facts)
	facts.Names = c.names(n)
	facts.Intruders = append(
		c.intruders(n.Bridge.Name, kernel.KindBridge, n.Alias()),
		c.intruders(n.Device.Name, kernel.KindVXLAN, n.Alias())...)
	return facts
}

// holderOf returns the interface that has an address.
func (c *collector) holderOf(addr netip.Addr) string {
	var links []struct{ Ifname string }
	_ = c.readJSON(&links, "ip", "-j", "address", "show", "to", addr.String()) // what is not known is not named
	for _, l := range links {
		if l.Ifname != "" { // ip prints an empty object of each link that has not the address
			return l.Ifname
		}
	}
	return ""
}

// maxPaths bounds how many hosts' routes are looked at. Routes are mostly those of whole ranges.
const maxPaths = 64

func (c *collector) path(v network.VTEP, to netip.Addr) doctor.Path {
	p := doctor.Path{To: to}
	var err error
	p.Route, err = c.ns.RouteTo(to, "", v.Local)
	c.gap("the route to "+to.String(), err)
	p.Free, err = c.ns.RouteTo(to, "", netip.Addr{})
	c.gap("the route to "+to.String(), err)
	p.MTU = c.pathMTU(to)
	// The route by which packets leave; if there is none, it is found otherwise.
	if text, err := c.run("ip", "route", "get", "fibmatch", to.String(), "from", v.Local.String()); err == nil {
		p.Matched = firstRoute(text)
		p.SilentHop = c.silentHop(v, nextHops(text, v.Interface))
	}
	p.Router = c.routerOf(v.Interface, to)
	return p
}

func (c *collector) blocking(networks []hoststate.Network) {
	port := c.Agent.Port
	var err error
	c.Blocking, c.Suspect, err = c.on.Host.ForeignChains(networks, port, c.legacyFilters())
	c.gap("other programs' firewall rules", err)
}

// devices finds out what the host has besides.
func (c *collector) devices() {
	var err error
	c.Devices, err = c.ns.Tunnels()
	c.gap("VXLAN devices", err)
	prefixes, err := c.ns.HostPrefixes()
	c.gap("the host's addresses and routes", err)
	for _, p := range prefixes { // but those of bridges, whatever they are called by now
		if l, err := c.ns.Link(p.Interface, 0); err == nil && network.IDFromAlias(l.Alias) == "" {
			c.Prefixes = append(c.Prefixes, p)
		}
	}
	c.addresses()
}

// addresses finds out which addresses of the host are of ranges of a network, or another host's.
func (c *collector) addresses() {
	var links []struct {
		Ifname   string
		AddrInfo []struct {
			Local     netip.Addr
			Prefixlen int
		} `json:"addr_info"`
	}
	c.gap("the host's addresses", c.readJSON(&links, "ip", "-j", "address", "show"))
	for _, l := range links {
		for _, a := range l.AddrInfo {
			addr := netip.PrefixFrom(a.Local, a.Prefixlen)
			isOwn := slices.ContainsFunc(c.Networks, func(n doctor.Network) bool { return n.Bridge.Name == l.Ifname })
			overlaps := slices.ContainsFunc(c.Networks, func(n doctor.Network) bool {
				return overlapsSubnet(n, addr) || a.Local != n.VTEP.Local && slices.Contains(n.Remotes, a.Local) ||
					slices.Contains(n.VTEP.Remotes, a.Local)
			})
			if !isOwn && overlaps {
				c.Addrs = append(c.Addrs, doctor.InterfaceAddr{Interface: l.Ifname, Addr: addr})
			}
		}
	}
}

func overlapsSubnet(n doctor.Network, p netip.Prefix) bool {
	return slices.ContainsFunc(n.Subnets, func(s network.Subnet) bool { return s.Prefix.Overlaps(p) })
}

func (c *collector) zones() {
	for _, n := range c.Networks {
		zone, running, err := c.on.Zones.ZoneOf(n.Bridge.Name)
		c.gap("firewalld's zones", err)
		if !running || err != nil {
			return
		}
		if c.Zones == nil {
			c.Zones = make(map[string]string)
		}
		c.Zones[n.Bridge.Name] = zone
	}
}

func (c *collector) kernel() {
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		c.Kernel.Release = unix.ByteSliceToString(name.Release[:])
	}
	_, err := os.Stat("/lib/modules/" + c.Kernel.Release)
	c.Kernel.NoModules = errors.Is(err, fs.ErrNotExist) // the agent's unit may not see them
	c.Kernel.NoVXLAN = errors.Is(c.ns.CheckVXLAN(), kernel.ErrNotSupported)
	c.Kernel.Parameters = make(map[string]string)
	for _, n := range c.Networks {
		for _, key := range decidingParameters(n) {
			if value, err := c.ns.Sysctl(key); err == nil {
				c.Kernel.Parameters[key] = value
			}
		}
	}
}

// decidingParameters are those by which the host forwards packets of a network, or does not.
func decidingParameters(n doctor.Network) (keys []string) {
	if len(n.Subnets) == 0 {
		return nil
	}
	keys = append(keys, "net/ipv4/icmp_echo_ignore_all", "net/ipv4/conf/all/arp_ignore",
		"net/ipv4/ip_default_ttl")
	for _, device := range []string{n.VTEP.Interface, n.Bridge.Name} {
		keys = append(keys, "net/ipv4/conf/"+device+"/arp_ignore", "net/ipv4/conf/"+device+"/proxy_arp_pvlan",
			"net/ipv4/neigh/"+device+"/mcast_solicit", "net/ipv6/neigh/"+device+"/mcast_solicit")
	}
	if !n.Internal {
		keys = append(keys, "net/ipv4/conf/"+n.VTEP.Interface+"/forwarding")
	}
	if n.VTEP.Local.Is6() {
		keys = append(keys, "net/ipv6/conf/"+n.VTEP.Interface+"/disable_ipv6")
	}
	if n.HasIPv6() {
		keys = append(keys, "net/ipv6/conf/"+n.Bridge.Name+"/disable_ipv6")
	}
	return keys
}
