package plugin

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// verifyFirewall is an agent's look at all elements of the firewall.
func verifyFirewall(t *testing.T, plugin *Plugin) {
	t.Helper()
	s, err := plugin.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	networks, err := s.Networks()
	if err != nil {
		t.Error(err)
	}
	if err := s.Reconcile(networks, hoststate.ScopeVerify); err != nil {
		t.Error(err)
	}
}

// Elements that somebody deleted, changed or added are put right by the agent. Where all is right
// nothing is changed.
func TestVerifyPutsElementsRight(t *testing.T) {
	k, plugin := newFakeHost(t)
	host := k.HostNamespace()
	for i := range 2 {
		if _, err := plugin.Setup([]string{"/ns/1", "/ns/2"}[i], requestsOn([]string{numberedNetwork(1), numberedNetwork(2)}, i+1)[i]); err != nil {
			t.Fatal(err)
		}
	}
	want := host.Firewall()
	k.Log = nil
	verifyFirewall(t, plugin)
	if log := strings.Join(k.Log, "\n"); strings.Contains(log, "load tables") {
		t.Errorf("changed %v", log)
	}
	all, err := host.FirewallElements()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if err := host.Apply(kernel.DelElements{Elements: []kernel.Element{e}}); err != nil {
			t.Fatal(err)
		}
		verifyFirewall(t, plugin)
		if got := host.Firewall(); !reflect.DeepEqual(got, want) {
			t.Fatalf("without %s: got\n%s\nwant\n%s", e, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	stale := kernel.Element{Set: kernel.Internal, Key: kernel.Device("br-old")}
	if err := host.Apply(kernel.AddElements{Elements: []kernel.Element{stale}}); err != nil {
		t.Fatal(err)
	}
	verifyFirewall(t, plugin)
	if got := host.Firewall(); !reflect.DeepEqual(got, want) {
		t.Errorf("with another: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Hosts come to two networks and go. The firewall follows by what differs, and has what one that is
// set anew has: nothing is lost that the other network needs too, and nothing is left.
func TestFirewallFollowsPeersByWhatDiffers(t *testing.T) {
	k, plugin := newFakeHost(t)
	plugin.Agent = &fakeAgent{assign: func(_, _ string, wanted []netip.Addr) ([]netip.Addr, error) { return wanted, nil }}
	gossip := []string{`"remote_ips": "198.18.0.11,198.18.0.12"`, `"discovery": "gossip"`}
	for i := range 2 {
		if _, err := plugin.Setup([]string{"/ns/1", "/ns/2"}[i], requestsOn([]string{numberedNetwork(1, gossip...), numberedNetwork(2, gossip...)}, i+1)[i]); err != nil {
			t.Fatal(err)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		k.Log = nil
		setRandomPeers(t, plugin, rnd)
		if log := strings.Join(k.Log, "\n"); strings.Contains(log, "load tables") {
			t.Fatalf("it was set anew:\n%s", log)
		}
		got := k.HostNamespace().Firewall()
		reconcileFirewall(t, plugin, hoststate.ScopeReset)
		if want := k.HostNamespace().Firewall(); !reflect.DeepEqual(got, want) {
			t.Fatalf("got\n%s\nset anew it is\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	// Where somebody lost the fingerprint too, nothing is known of the rest.
	k.HostNamespace().DeleteElements()
	setRandomPeers(t, plugin, rnd)
	got := k.HostNamespace().Firewall()
	reconcileFirewall(t, plugin, hoststate.ScopeReset)
	if want := k.HostNamespace().Firewall(); !reflect.DeepEqual(got, want) {
		t.Errorf("after a loss it has\n%s\nset anew it is\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// setRandomPeers has the agent find other hosts of each network.
func setRandomPeers(t *testing.T, plugin *Plugin, rnd *rand.Rand) {
	t.Helper()
	s, networks := beginSession(t, plugin)
	var errs []error
	for i := range networks {
		var p network.Peers
		for host := range byte(4) {
			if rnd.IntN(2) == 0 {
				p.Flood = append(p.Flood, netip.AddrFrom4([4]byte{198, 18, 0, 20 + host}))
			}
		}
		p.StaticFDB, p.AgentPort = rnd.IntN(4) > 0, []uint16{7947, 7948}[rnd.IntN(2)]
		for _, subnet := range networks[i].Subnets {
			if subnet.Prefix.Addr().Is4() {
				addr := subnet.Prefix.Addr().As4()
				addr[3] = byte(200 + rnd.IntN(3))
				p.HostAddrs = append(p.HostAddrs, netip.AddrFrom4(addr))
			}
		}
		errs = append(errs, s.SetPeers(&networks[i], p))
	}
	if err := errors.Join(append(errs, s.Reconcile(networks, hoststate.ScopePeers), s.Close())...); err != nil {
		t.Fatal(err)
	}
}

func reconcileFirewall(t *testing.T, plugin *Plugin, scope hoststate.Scope) {
	t.Helper()
	s, networks := beginSession(t, plugin)
	if err := errors.Join(s.Reconcile(networks, scope), s.Close()); err != nil {
		t.Fatal(err)
	}
}
