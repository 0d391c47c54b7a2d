package plugin

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"vxlan-driver/internal/golden"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// beginSession begins a session and returns the host's networks.
func beginSession(t *testing.T, plugin *Plugin) (*hoststate.Session, []hoststate.Network) {
	t.Helper()
	s, err := plugin.Begin()
	if err != nil {
		t.Fatal(err)
	}
	locals, err := s.Networks()
	if err != nil {
		t.Fatal(err)
	}
	return s, locals
}

// learnPeers has the agent find one of the two other hosts, which has a container.
func learnPeers(t *testing.T, plugin *Plugin) {
	t.Helper()
	b := netip.MustParseAddr("198.18.0.11")
	s, locals := beginSession(t, plugin)
	if len(locals) != 1 {
		t.Fatalf("got %+v", locals)
	}
	err := s.SetPeers(&locals[0], network.Peers{Flood: []netip.Addr{b}, StaticFDB: true, AgentPort: 7947})
	remote := plan.Remote{MAC: kernel.MAC{2, 0, 0, 0, 0, 9}, VTEP: b, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.9")}}
	err = errors.Join(err, s.Reconcile(locals, hoststate.ScopeFull), s.Forward(locals[0], plan.Known{WishFastPath: plan.WishFastPath, Remotes: plan.NewRemotes(remote)}), s.Close())
	if err != nil {
		t.Fatal(err)
	}
}

// The plugin builds by what the agent has found out. Where no agent can be started it goes back to
// the network's list.
func TestPluginBuildsByWhatTheAgentKnows(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	k.Log = nil
	learnPeers(t, plugin)
	golden.Compare(t, "peers_known.golden", strings.Join(k.Log, "\n")+"\n")

	k.Log = nil
	learnPeers(t, plugin)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	if len(k.Log) > 0 {
		t.Errorf("a turn and a setup where all is in place made changes:\n%s", strings.Join(k.Log, "\n"))
	}

	plugin.Agent = &fakeAgent{err: errors.New("it is not installed")}
	var warnings []string
	plugin.Warn = func(message string) { warnings = append(warnings, message) }
	k.Log = nil
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "static_again.golden", strings.Join(k.Log, "\n")+"\n")
	if len(warnings) != 1 {
		t.Errorf("warnings %q", warnings)
	}
}

// Until an agent has heard of all hosts, the entries of the agent before it stay.
func TestPartialForwardKeepsEntries(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	learnPeers(t, plugin)
	s, locals := beginSession(t, plugin)
	defer s.Close()
	k.Log = nil
	if err := s.Forward(locals[0], plan.Known{WishFastPath: plan.WishFastPath, Partial: true}); err != nil || len(k.Log) > 0 {
		t.Errorf("%v: %s", err, strings.Join(k.Log, "\n"))
	}
	if err := s.Forward(locals[0], plan.Known{WishFastPath: plan.WishFastPath}); err != nil || len(k.Log) == 0 {
		t.Errorf("what is known to be gone stays: %v", err)
	}
}

// News of other hosts takes as long to apply with many containers as with one.
func TestReconcilePeersLooksAtNoContainer(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	s, locals := beginSession(t, plugin)
	defer s.Close()
	b := netip.MustParseAddr("198.18.0.11")
	if err := s.SetPeers(&locals[0], network.Peers{Flood: []netip.Addr{b}, AgentPort: 7947}); err != nil {
		t.Fatal(err)
	}
	port := locals[0].Port(locals[0].Endpoints[0].Endpoint)
	k.HostNamespace().Remove(port)
	k.HostNamespace().Add(kernel.Link{Name: port, Kind: kernel.KindVeth, Alias: "another's"})
	k.Log = nil
	if err := s.Reconcile(locals, hoststate.ScopePeers); err != nil {
		t.Error(err)
	}
	if log := strings.Join(k.Log, "\n"); !strings.Contains(log, "198.18.0.12") || strings.Contains(log, port) {
		t.Errorf("changes:\n%s", log)
	}
	if err := s.Reconcile(locals, hoststate.ScopeFull); err == nil {
		t.Error("mended a port that is another's")
	}
}

// Without an agent all networks of the host go back to their lists, also those on which nothing
// starts.
func TestFallBackToStaticIsForAllNetworks(t *testing.T) {
	k, plugin := newFakeHost(t)
	for i, config := range []string{testNetwork, redNetwork} {
		ns, r := request(config, i+1)
		if _, err := plugin.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			learnPeers(t, plugin)
		}
	}
	flood := func() int {
		l, err := k.HostNamespace().Link("vxlan-vxlan-network", kernel.FacetFDB)
		if err != nil {
			t.Fatal(err)
		}
		return len(l.FDB)
	}
	if n := flood(); n != 2 { // one host, one MAC
		t.Fatalf("%d entries at first", n)
	}
	plugin.Agent = &fakeAgent{err: errors.New("it is not installed")}
	plugin.Warn = func(string) {}
	ns, r := request(redNetwork, 2)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	l, err := k.HostNamespace().Link("vxlan-vxlan-network", kernel.FacetFDB)
	if err != nil || len(l.FDB) != 2 || !l.FDB[0].MAC.IsZero() || !l.FDB[1].MAC.IsZero() || !l.Tunnel.Learning {
		t.Errorf("got %v, learning %v, %v; want the two listed hosts", l.FDB, l.Tunnel.Learning, err)
	}
}

// agentError is an error that a running agent returns.
type agentError struct{ error }

func (agentError) AgentRuns() {}

// An agent that answers, if only with an error, looks after the networks itself.
func TestAgentThatAnswersIsNotReplaced(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	learnPeers(t, plugin)
	plugin.Agent = &fakeAgent{err: agentError{errors.New("port 53 is taken")}}
	warnings := 0
	plugin.Warn = func(string) { warnings++ }
	k.Log = nil
	if _, err := plugin.Setup(ns, r); err != nil || warnings != 1 || len(k.Log) > 0 {
		t.Errorf("%v, %d warnings, changes:\n%s", err, warnings, strings.Join(k.Log, "\n"))
	}
}
