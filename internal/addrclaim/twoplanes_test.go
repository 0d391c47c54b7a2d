package addrclaim

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

// movingPlane is one of the planes of a network that moves.
type movingPlane struct {
	claimed, asked []string // container, address
	taken          map[string]cluster.Holder
	err            error
	shown          cluster.Snapshot
}

func (p *movingPlane) SetMemberships([]cluster.Membership) error { return nil }
func (p *movingPlane) Snapshot() cluster.Snapshot                { return p.shown }
func (p *movingPlane) WaitForPeers(context.Context) error        { return nil }

func (p *movingPlane) Claim(_ context.Context, _ cluster.NetworkKey, id string,
	addrs []netip.Addr) (map[netip.Addr]cluster.Holder, error) {
	text := id + " " + addrs[0].String()
	p.asked = append(p.asked, text)
	p.Release(cluster.NetworkKey{}, id)
	if h, taken := p.taken[addrs[0].String()]; taken {
		return map[netip.Addr]cluster.Holder{addrs[0]: h}, nil
	}
	if p.err == nil {
		p.claimed = append(p.claimed, text)
	}
	return nil, p.err
}

func (p *movingPlane) Release(_ cluster.NetworkKey, id string) {
	p.claimed = slices.DeleteFunc(p.claimed, func(c string) bool { return strings.HasPrefix(c, id+" ") })
}

// movingHost has a network on two planes, and a container that waits for its address.
type movingHost struct {
	Claims
	etcd, gossip movingPlane
	network      membership.Network
}

func newMovingHost(t *testing.T) *movingHost {
	t.Helper()
	h := &movingHost{network: gossipNetwork(vtep(1), "10.0.0.0/24")}
	h.network.Discovery, h.network.DiscoveryAlso = network.DiscoveryEtcd, network.DiscoveryGossip
	h.network.Endpoints = []*network.Endpoint{{ContainerID: "c1"}}
	h.publish(t, netip.Addr{}, &h.etcd)
	h.publish(t, vtep(1), &h.gossip)
	return h
}

func (h *movingHost) publish(t *testing.T, bind netip.Addr, p *movingPlane) {
	t.Helper()
	if err := h.Publish(bind, HostState{Cluster: p, Networks: []membership.Network{h.network},
		Probe: silentWire}); err != nil {
		t.Error(err)
	}
}

func (h *movingHost) assign(t *testing.T, wanted ...netip.Addr) ([]netip.Addr, error) {
	return h.Assign(t.Context(), Request{membership.EndpointKey{NetworkID: "n1", ContainerID: "c1"}, wanted})
}

// While a network moves, an address is claimed on both planes, until both have published the container.
func TestAddressIsClaimedOnBothPlanes(t *testing.T) {
	h := newMovingHost(t)
	addrs, err := h.assign(t)
	want := []string{"c1 " + addrs[0].String()}
	if err != nil || !slices.Equal(h.etcd.claimed, want) || !slices.Equal(h.gossip.claimed, want) {
		t.Fatalf("got %v, %v; claimed are %v and %v", addrs, err, h.etcd.claimed, h.gossip.claimed)
	}
	h.network.Endpoints = []*network.Endpoint{{ContainerID: "c1", Addrs: []netip.Prefix{netip.PrefixFrom(addrs[0], 24)}}}
	h.publish(t, vtep(1), &h.gossip)
	if len(h.gossip.claimed) > 0 || !slices.Equal(h.etcd.claimed, want) || len(h.OfNetwork("n1")) != 1 {
		t.Errorf("one plane has the container; claimed are %v and %v", h.etcd.claimed, h.gossip.claimed)
	}
	h.publish(t, netip.Addr{}, &h.etcd)
	if len(h.etcd.claimed) > 0 || len(h.active) > 0 {
		t.Errorf("both planes have the container; claimed are %v, %v", h.etcd.claimed, h.active)
	}
}

// An address that one plane alone knows to be taken is not given out, whichever it is.
func TestAddressThatOnePlaneKnowsToBeTaken(t *testing.T) {
	wanted := netip.MustParseAddr("10.0.0.7")
	holder := cluster.Holder{Host: "b", Container: "web", ContainerID: "c9"}
	member := cluster.NewSnapshot(cluster.Host{ID: cluster.HostID{2}, Name: "b", Addr: vtep(2),
		Memberships: []cluster.Membership{{
			Network: cluster.NetworkKey{VNI: 100, Port: 4789}, VTEP: vtep(2),
			Endpoints: []cluster.Endpoint{{ContainerID: "c9", Names: []string{"web"}, Addrs: []netip.Addr{wanted}}},
		}}})
	for name, prepare := range map[string]func(p *movingPlane){
		"it says so when it is asked": func(p *movingPlane) { p.taken = map[string]cluster.Holder{wanted.String(): holder} },
		"it has said so":              func(p *movingPlane) { p.shown = member },
	} {
		for _, plane := range []func(h *movingHost) *movingPlane{
			func(h *movingHost) *movingPlane { return &h.etcd }, func(h *movingHost) *movingPlane { return &h.gossip },
		} {
			h := newMovingHost(t)
			prepare(plane(h))
			_, err := h.assign(t, wanted)
			if err == nil || !strings.Contains(err.Error(), "is in use by container web on host b") {
				t.Errorf("%s: got %v", name, err)
			}
			if len(h.etcd.claimed)+len(h.gossip.claimed)+len(h.active) > 0 {
				t.Errorf("%s: refused, and still claimed: %v, %v, %v", name, h.etcd.claimed, h.gossip.claimed, h.active)
			}
			h.nextStart = map[string]netip.Addr{"n1 10.0.0.0/24": wanted}
			addrs, err := h.assign(t)
			if err != nil || slices.Contains(addrs, wanted) || !slices.Equal(h.etcd.claimed, h.gossip.claimed) {
				t.Errorf("%s: got %v, %v; claimed are %v and %v", name, addrs, err, h.etcd.claimed, h.gossip.claimed)
			}
		}
	}
}

// If one plane fails, or has not been started, nothing is given out, and nothing stays claimed on the other.
func TestNothingIsClaimedOnOnePlaneAlone(t *testing.T) {
	h := newMovingHost(t)
	h.gossip.err = errors.New("no answer")
	if _, err := h.assign(t); err == nil || len(h.etcd.asked) != 1 || len(h.etcd.claimed) > 0 {
		t.Errorf("got %v; claimed are %v", err, h.etcd.claimed)
	}
	h = newMovingHost(t)
	h.Forget(netip.Addr{})
	if _, err := h.assign(t); err == nil || len(h.gossip.asked) > 0 ||
		err.Error() != "network blue is found by etcd and gossip, and the agent has no connection by one of them; "+
			"`vxlanctl status` says why" {
		t.Errorf("got %v; asked %v", err, h.gossip.asked)
	}
}
