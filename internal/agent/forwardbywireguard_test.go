package agent

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/repairs"
)

// Entries follow the WireGuard device: by which one frames leave, and that it was made anew. While there
// is none there are no entries. What the agent finds out about other hosts leaves it as it is.
func TestEntriesFollowTheWireGuardDevice(t *testing.T) {
	withGossipAgent(t, func(t *testing.T, r *rig) {
		hosts := manyOthers(5)
		r.prepareCluster = func(c *fakeCluster) {
			c.setSynced()
			c.showQuietly(hosts...)
		}
		ns, request := gossipAttachRequest(1, `, "static_ips": ["10.0.0.250"]`)
		request.Network = json.RawMessage(strings.Replace(string(request.Network), `"vni"`,
			`"encryption": "wireguard", "vni"`, 1))
		if _, err := r.plugin.Setup(ns, request); err != nil {
			t.Fatal(err)
		}
		r.storeChanged()
		sleep(2 * gracePeriod)
		r.sendsBy("", 0)

		host := r.kernel.HostNamespace()
		for _, name := range []string{"wg0-blue", "wg1-blue"} {
			r.mu.Lock()
			host.Add(kernel.Link{Name: name, Kind: kernel.KindTun, Alias: "vxlan-driver network"})
			r.mu.Unlock()
			r.setWireGuard(name)
			r.kernelEvents <- struct{}{} // of the new device
			sleep(2 * time.Second)
			r.sendsBy(name, len(hosts))
		}

		r.mu.Lock()
		if err := host.Apply(kernel.DeleteLink{Name: "wg1-blue"}); err != nil {
			t.Fatal(err)
		}
		r.mu.Unlock()
		r.kernelEvents <- struct{}{}
		sleep(2 * time.Second)
		r.sendsBy("", 0)
		r.mu.Lock()
		host.Add(kernel.Link{Name: "wg1-blue", Kind: kernel.KindTun, Alias: "vxlan-driver network"})
		r.mu.Unlock()
		r.kernelEvents <- struct{}{}
		sleep(2 * time.Second)
		r.sendsBy("wg1-blue", len(hosts))
	})
}

// setWireGuard records the device as who keeps the keys does.
func (r *rig) setWireGuard(name string) {
	r.t.Helper()
	s, err := r.Host.Begin()
	if err != nil {
		r.t.Fatal(err)
	}
	defer s.Close()
	networks, err := s.Networks()
	if err != nil {
		r.t.Fatal(err)
	}
	peers, _ := networks[0].Peers()
	peers.WireGuard = name
	if err := s.SetPeers(&networks[0], peers); err != nil {
		r.t.Fatal(err)
	}
}

// sendsBy checks by which device the network sends to so many other hosts.
func (r *rig) sendsBy(device string, hosts int) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	tables := r.tables()
	if len(tables.Flood) != hosts || len(tables.FDB) < 2*hosts || hosts == 0 && len(tables.FDB)+len(tables.Static) > 0 {
		r.t.Errorf("by %q it sends with %+v", device, tables)
	}
	for _, e := range append(tables.Flood, tables.FDB...) {
		if e.Via != device {
			r.t.Errorf("%+v does not leave by %q", e, device)
		}
	}
}

// All entries are looked at when frames are to leave by another device.
func TestNewWireGuardDeviceHasAllEntriesLookedAt(t *testing.T) {
	n := &forwardedNetwork{roster: new(membership.Roster), suspect: make(repairs.Entries)}
	for _, tt := range []struct {
		device string
		all    bool
	}{{"wg0-blue", true}, {"wg0-blue", false}, {"wg1-blue", true}, {"", true}} {
		var local hoststate.Network
		local.VTEP.WireGuard = tt.device
		n.checkAll = false
		n.follow(local, toMembership(local), membership.Discovery{Synced: true})
		if n.checkAll != tt.all {
			t.Errorf("with %q all entries are looked at: %v", tt.device, n.checkAll)
		}
	}
}
