package survey

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/kernel/echo"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/plan"
)

const (
	// maxExchanges bounds how many containers of other hosts are asked.
	maxExchanges = 8
	// discardPort is where nobody listens (RFC 863). A kernel that gets the packet refuses it, and
	// one that gets it with a wrong checksum is silent.
	discardPort  = 9
	exchangeWait = 500 * time.Millisecond
	exchangeTry  = 2
)

// Exchange makes a container of each network ask one of each other host, by ICMP, TCP and UDP. The
// kernel computes the checksums of ICMP itself, and may leave those of TCP and UDP to network cards.
func Exchange(ctx context.Context, networks []doctor.Network) (byNetwork map[string][]doctor.Exchange) {
	c := collector{ctx: ctx}
	var mu sync.Mutex
	var asking sync.WaitGroup
	byNetwork = make(map[string][]doctor.Exchange)
	for _, n := range networks {
		asking.Go(func() {
			found := c.exchanges(n)
			mu.Lock()
			defer mu.Unlock()
			byNetwork[n.Name] = found
		})
	}
	asking.Wait()
	return byNetwork
}

func (c *collector) exchanges(n doctor.Network) []doctor.Exchange {
	isKnown := func(e plan.RecordedEndpoint) bool { return e.ContainerName != "" && len(e.Addrs) > 0 }
	i := slices.IndexFunc(n.Endpoints, isKnown)
	if i < 0 {
		return nil
	}
	known := c.readKnownAddresses(n, n.Endpoints[i].Namespace)
	for _, a := range c.attempts(&n) {
		if a.container == n.Endpoints[i].ContainerName {
			known.inVain = append(known.inVain, doctor.Exchange{To: a.addr})
		}
	}
	found := known.whomToAsk()
	var asking sync.WaitGroup
	for at := range found {
		asking.Go(func() {
			e, namespace := &found[at], n.Endpoints[i].Namespace
			e.From = n.Endpoints[i].ContainerName
			e.Ping = again(func() bool { return pings(namespace, e.To) })
			if e.Ping {
				e.TCP = again(func() bool { return answers(namespace, "tcp", e.To) })
				e.UDP = again(func() bool { return answers(namespace, "udp", e.To) })
			} else {
				e.HostPing = again(func() bool { return pings("", e.To) })
			}
			if e.TCP || !e.Ping { // of several ways the ping may take the one that loses packets
				e.Flows = countFlows(namespace, e.To)
			}
		})
	}
	asking.Wait()
	return found
}

func again(try func() bool) bool {
	for range exchangeTry {
		if try() {
			return true
		}
	}
	return false
}

// knownAddresses are those of other hosts and their containers, as a container and the bridge know them.
type knownAddresses struct {
	talked []doctor.Exchange // the container has talked to them
	lately []doctor.Exchange // in the last half minute
	inVain []doctor.Exchange // it looks for them, and nobody answers
	others []doctor.Exchange // that the bridge has
}

// whomToAsk chooses few of them: first one of each host. A container may also be kept from one address of a
// host alone, so others to which it has talked lately come last.
func (a knownAddresses) whomToAsk() (chosen []doctor.Exchange) {
	add := func(all []doctor.Exchange, isChosen func(e, of doctor.Exchange) bool) {
		for _, e := range all {
			isThere := slices.ContainsFunc(chosen, func(of doctor.Exchange) bool { return isChosen(e, of) })
			if !isThere && len(chosen) < maxExchanges {
				chosen = append(chosen, e)
			}
		}
	}
	sameHost := func(e, of doctor.Exchange) bool { return e.VTEP == of.VTEP }
	sameAddress := func(e, of doctor.Exchange) bool { return e.To == of.To }
	add(a.talked, sameHost)
	add(a.inVain, sameAddress)
	add(a.others, sameHost)
	add(a.lately, sameAddress)
	return chosen
}

// neighbour is an entry of a neighbour table, as ip prints it.
type neighbour struct {
	Dst, Lladdr string
	State       []string
}

func (n neighbour) isFresh() bool {
	return slices.ContainsFunc(n.State, func(s string) bool { return s == "REACHABLE" || s == "DELAY" || s == "PROBE" })
}

// readKnownAddresses reads whom a container and the bridge know, and of those who is on another host.
func (c *collector) readKnownAddresses(n doctor.Network, namespace string) (known knownAddresses) {
	var entries []struct{ Mac, Dst string }
	if c.readJSON(&entries, "bridge", "-j", "fdb", "show", "dev", n.Device.Name) != nil {
		return known // see the checks of devices
	}
	remote := func(k neighbour) (doctor.Exchange, bool) {
		addr, err := netip.ParseAddr(k.Dst)
		i := slices.IndexFunc(entries, func(e struct{ Mac, Dst string }) bool { return e.Mac == k.Lladdr && e.Dst != "" })
		_, isOfNetwork := n.SubnetOf(addr)
		if err != nil || !isOfNetwork || i < 0 || slices.Contains(gatewaysOf(n), addr) {
			return doctor.Exchange{}, false
		}
		vtep, err := netip.ParseAddr(entries[i].Dst)
		return doctor.Exchange{To: addr, VTEP: vtep}, err == nil
	}
	var inside, outside []neighbour
	_ = netns.DoIn(namespace, func() error { return c.readJSON(&inside, "ip", "-j", "neigh", "show") }) // may be gone
	_ = c.readJSON(&outside, "ip", "-j", "neigh", "show", "dev",
		n.Bridge.Name) // see the checks of devices
	for _, k := range inside {
		e, ok := remote(k)
		if ok {
			known.talked = append(known.talked, e)
		}
		if ok && k.isFresh() {
			known.lately = append(known.lately, e)
		}
	}
	for _, k := range outside {
		if e, ok := remote(k); ok {
			known.others = append(known.others, e)
		}
	}
	return known
}

func gatewaysOf(n doctor.Network) (all []netip.Addr) {
	for _, s := range n.Subnets {
		all = append(all, s.Gateway)
	}
	return all
}

func pings(namespace string, to netip.Addr) bool {
	conn, err := echo.Open(namespace, netip.Addr{}, to)
	if err != nil {
		return false
	}
	defer conn.Close()
	_, err = conn.Echo(echo.DefaultSize, exchangeWait)
	return err == nil
}

// answers tells whether an address answers, or refuses, by TCP or UDP.
func answers(namespace, protocol string, to netip.Addr) (answered bool) {
	_ = netns.DoIn(namespace, func() error { // what fails does not answer
		conn, err := net.DialTimeout(protocol, netip.AddrPortFrom(to, discardPort).String(), exchangeWait)
		if err != nil {
			answered = errors.Is(err, unix.ECONNREFUSED)
			return nil
		}
		defer conn.Close()
		if answered = strings.HasPrefix(protocol, "tcp"); answered {
			return nil
		}
		_ = conn.SetDeadline(time.Now().Add(exchangeWait))
		if _, err = conn.Write([]byte("vxlanctl doctor")); err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		answered = err == nil || errors.Is(err, unix.ECONNREFUSED)
		return nil
	})
	return answered
}
