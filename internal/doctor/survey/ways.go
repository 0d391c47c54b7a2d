package survey

import (
	"cmp"
	"errors"
	"net/netip"
	"os/exec"
	"slices"
	"strings"

	"vxlan-driver/internal/doctor"
)

// worldOutside are addresses of the world, any of which nobody has in a private network.
var worldOutside = map[bool]string{false: "1.0.0.1", true: "2600::1"}

// ways finds out how the kernel sends to containers of this host, and from them to the outside, where
// it knows a way there itself.
func (c *collector) ways() {
	for i := range c.Networks {
		n := &c.Networks[i]
		if n.VRF != "" {
			continue // a world of its own
		}
		for _, e := range n.Endpoints[:min(len(n.Endpoints), maxPorts)] {
			for _, p := range e.Addrs {
				c.waysOf(n, e.ContainerName, p.Addr())
			}
		}
	}
}

// waysOf finds out the ways to a container's address, and from it to the outside.
func (c *collector) waysOf(n *doctor.Network, container string, addr netip.Addr) {
	if to, isKnown := c.way(container, addr, addr, addr.String()); isKnown {
		if text, err := c.run("ip", "route", "get", "fibmatch", addr.String()); err == nil {
			to.Matched = firstRoute(text)
		}
		n.Ways = append(n.Ways, to)
	}
	world := worldOutside[addr.Is6()]
	if own, isKnown := c.way("", addr, netip.Addr{}, world); n.Internal || !isKnown || own.Err != "" {
		return
	}
	w, isKnown := c.way(container, addr, netip.Addr{}, world, "from", addr.String(), "iif", n.Bridge.Name)
	if isKnown {
		n.Ways = append(n.Ways, w)
	}
}

// way asks the kernel for a route. It tells whether the kernel has answered: on a busy machine ip may end before.
func (c *collector) way(container string, of, to netip.Addr, args ...string) (w doctor.Way, isKnown bool) {
	w = doctor.Way{Container: container, Of: of, To: to, Command: "ip route get " + strings.Join(args, " ")}
	var routes []struct {
		Dev     string
		PrefSrc netip.Addr
	}
	err := c.readJSON(&routes, "ip", append([]string{"-j", "route", "get"}, args...)...)
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && failed.Exited() {
		w.Err = cmp.Or(strings.TrimSpace(string(failed.Stderr)), failed.Error())
		return w, true
	}
	if err != nil || len(routes) == 0 {
		return w, false
	}
	w.Interface, w.Source = routes[0].Dev, routes[0].PrefSrc
	return w, true
}

// flags finds out which flags of devices keep them from finding others, and whether the underlay is a
// part of another device.
func (c *collector) flags() {
	for i := range c.Networks {
		n := &c.Networks[i]
		for _, name := range []string{n.Underlay.Name, n.Bridge.Name, n.Device.Name, "lo"} {
			var links []struct {
				Flags     []string
				Master    string
				ProtoDown bool `json:"proto_down"`
				LinkInfo  struct {
					SlaveKind string `json:"info_slave_kind"`
				} `json:"linkinfo"`
			}
			if name == "" || c.readJSON(&links, "ip", "-j", "-d", "link", "show", "dev", name) != nil || len(links) != 1 {
				continue // see the checks of devices
			}
			l := doctor.LinkFlags{
				Name: name, Master: links[0].Master, MasterKind: links[0].LinkInfo.SlaveKind, ProtoDown: links[0].ProtoDown,
				IsDown: name == "lo" && !slices.Contains(links[0].Flags, "UP"),
			}
			for _, f := range links[0].Flags {
				l.NoARP, l.Broadcast = l.NoARP || f == "NOARP", l.Broadcast || f == "BROADCAST"
			}
			if name == n.Underlay.Name {
				l.TakenBy = c.passthru(name)
			}
			n.Links = append(n.Links, l)
		}
	}
}

// passthru returns the macvlan or macvtap in the mode passthru that is on top of a device; "": there is
// none, or another network namespace has it.
func (c *collector) passthru(device string) string {
	for _, kind := range []string{"macvlan", "macvtap"} {
		var links []struct {
			Link, Ifname string
			LinkInfo     struct {
				Data struct{ Mode string } `json:"info_data"`
			} `json:"linkinfo"`
		}
		_ = c.readJSON(&links, "ip", "-j", "-d", "link", "show", "type", kind) // a kernel without it has none
		for _, l := range links {
			if l.Link == device && l.LinkInfo.Data.Mode == "passthru" {
				return l.Ifname
			}
		}
	}
	return ""
}
