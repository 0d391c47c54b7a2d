package pathcheck

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"vxlan-driver/internal/enrol"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/rtnl"
	"vxlan-driver/internal/kernel/tunnelprobe"
	"vxlan-driver/internal/network"
)

// devicePrefix begins the names of devices that are here for a moment. They are of no network, and
// NetworkManager and systemd-networkd leave them alone.
const devicePrefix = "vx-join-"

// aliasPrefix tells whose device it is: a process, which may have been killed.
const aliasPrefix = "vxlan-driver join check, process "

// tunnel is this host's end of a tunnel to one other host, with a VNI that no network has. Its
// packets take the way of containers' packets: the kernel's VXLAN socket, the underlay, the
// firewalls.
type tunnel struct {
	device   string
	mac      kernel.MAC
	overhead int
	conn     *tunnelprobe.Conn
}

// openTunnel makes the device. Its packets must not be fragmented.
func openTunnel(spec enrol.PathSpec) (*tunnel, error) {
	links, err := rtnl.Open("")
	if err != nil {
		return nil, err
	}
	defer links.Close()
	removeStale(links)
	underlay, err := links.InterfaceByAddr(spec.Self)
	if err != nil {
		return nil, err
	}
	if underlay.Name == "" {
		return nil, fmt.Errorf("no interface has %v", spec.Self)
	}
	t := &tunnel{mac: randomMAC(), overhead: network.Overhead(spec.Peer.Is6())}
	t.device = devicePrefix + hex.EncodeToString(t.mac[3:])
	link := kernel.Link{
		Name: t.device, Kind: kernel.KindVXLAN, MTU: spec.MTU - t.overhead, MAC: t.mac,
		Tunnel: kernel.Tunnel{
			VNI: spec.VNI, Port: spec.TunnelPort, Local: spec.Self, Dev: underlay.Name, Group: spec.Peer,
			DF: kernel.Some(kernel.DFSet),
		},
	}
	if err := links.Apply(kernel.CreateLink{Link: link}); err != nil {
		return nil, err
	}
	for _, change := range []kernel.Change{
		kernel.SetAlias{Name: t.device, Alias: aliasPrefix + strconv.Itoa(os.Getpid())},
		kernel.SetNoLinkLocal{Name: t.device}, kernel.SetUp{Name: t.device},
	} {
		if err := links.Apply(change); err != nil {
			return nil, errors.Join(err, links.Apply(kernel.DeleteLink{Name: t.device}))
		}
	}
	if t.conn, err = tunnelprobe.Open(t.device, t.device, t.mac); err != nil {
		return nil, errors.Join(err, links.Apply(kernel.DeleteLink{Name: t.device}))
	}
	return t, nil
}

// removeStale removes devices of processes that were killed.
func removeStale(links *rtnl.Conn) {
	tunnels, err := links.Tunnels()
	if err != nil {
		return // the creation meets the error
	}
	for _, l := range tunnels {
		pid, isOurs := strings.CutPrefix(l.Alias, aliasPrefix)
		if !isOurs || !strings.HasPrefix(l.Name, devicePrefix) {
			continue
		}
		if _, err := os.Stat("/proc/" + pid); err != nil {
			_ = links.Apply(kernel.DeleteLink{Name: l.Name}) // it does no harm
		}
	}
}

func randomMAC() (m kernel.MAC) {
	_, _ = rand.Read(m[:]) // never fails
	m[0] = m[0]&^1 | 2     // unicast, locally administered
	return m
}

func (t *tunnel) close() {
	_ = t.conn.Close() // nobody reads from it any more
	links, err := rtnl.Open("")
	if err != nil {
		return // the next check removes the device
	}
	defer links.Close()
	_ = links.Apply(kernel.DeleteLink{Name: t.device})
}

const (
	smallAttempts = 4
	fullAttempts  = 2
	replyTimeout  = 500 * time.Millisecond
	// leastMTU is IPv4's (RFC 791): less than any hop has.
	leastMTU = 576
)

// probe tries the tunnel, and finds the largest packets that pass.
func (t *tunnel) probe(ctx context.Context, peer kernel.MAC, mtu int) (answered bool, largest int) {
	if !t.passes(ctx, peer, tunnelprobe.MinSize, smallAttempts) {
		return false, 0
	}
	if t.passes(ctx, peer, mtu-t.overhead, fullAttempts) {
		return true, mtu
	}
	return true, t.searchLargest(ctx, peer, mtu)
}

// searchLargest finds the largest packets that pass, of those smaller than mtu; 0: none do.
func (t *tunnel) searchLargest(ctx context.Context, peer kernel.MAC, mtu int) int {
	low, high := leastMTU, mtu // low passes, high does not
	if !t.passes(ctx, peer, low-t.overhead, fullAttempts) {
		return 0
	}
	for high-low > 1 && ctx.Err() == nil {
		if middle := (low + high) / 2; t.passes(ctx, peer, middle-t.overhead, fullAttempts) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

func (t *tunnel) passes(ctx context.Context, peer kernel.MAC, size, attempts int) bool {
	for range attempts {
		attempt, cancel := context.WithTimeout(ctx, replyTimeout)
		answered, err := t.conn.Probe(attempt, peer, size)
		cancel()
		if answered || err != nil {
			return answered
		}
	}
	return false
}

// hasHeard tells whether something of the other host's has arrived.
func (t *tunnel) hasHeard(peer kernel.MAC) bool { return !t.conn.LastHeard(peer).IsZero() }
