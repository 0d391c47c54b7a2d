package plugin

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// beginSession begins a session and returns the host's networks.
func beginSession(t *testing.T, d *Plugin) (*hoststate.Session, []hoststate.Network) {
	t.Helper()
	s, err := d.Begin()
	if err != nil {
		t.Fatal(err)
	}
	locals, err := s.Networks()
	if err != nil {
		t.Fatal(err)
	}
	return s, locals
}

// learnPeers has the agent know one of the two other hosts, and that it has a container.
func learnPeers(t *testing.T, d *Plugin) {
	t.Helper()
	b := netip.MustParseAddr("198.18.0.11")
	s, locals := beginSession(t, d)
	if len(locals) != 1 {
		t.Fatalf("got %+v", locals)
	}
	err := s.SetPeers(&locals[0], network.Peers{Flood: []netip.Addr{b}, StaticFDB: true, AgentPort: 7947})
	remote := plan.Remote{MAC: kernel.MAC{2, 0, 0, 0, 0, 9}, VTEP: b, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.9")}}
	err = errors.Join(err, s.Reconcile(locals, hoststate.ScopeFull), s.Forward(locals[0], []plan.Remote{remote}, true), s.Close())
	if err != nil {
		t.Fatal(err)
	}
}

// What the agent finds out, the plugin does not undo; and it does where no agent keeps
// it up to date.
func TestPluginBuildsByWhatTheAgentKnows(t *testing.T) {
	k, d := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	if _, err := d.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	k.Log = nil
	learnPeers(t, d)
	compareGolden(t, "peers_known.golden", strings.Join(k.Log, "\n")+"\n")

	k.Log = nil
	learnPeers(t, d)
	if _, err := d.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	if len(k.Log) > 0 {
		t.Errorf("a turn and a setup where all is in place made changes:\n%s", strings.Join(k.Log, "\n"))
	}

	d.Agent = &fakeAgent{err: errors.New("it is not installed")}
	var warnings []string
	d.Warn = func(message string) { warnings = append(warnings, message) }
	k.Log = nil
	if _, err := d.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "static_again.golden", strings.Join(k.Log, "\n")+"\n")
	if len(warnings) != 1 {
		t.Errorf("warnings %q", warnings)
	}
}

// Before an agent has heard of all hosts, what another agent knew stays.
func TestPartialForwardKeepsEntries(t *testing.T) {
	k, d := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	if _, err := d.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	learnPeers(t, d)
	s, locals := beginSession(t, d)
	defer s.Close()
	k.Log = nil
	if err := s.Forward(locals[0], nil, false); err != nil || len(k.Log) > 0 {
		t.Errorf("%v: %s", err, strings.Join(k.Log, "\n"))
	}
	if err := s.Forward(locals[0], nil, true); err != nil || len(k.Log) == 0 {
		t.Errorf("what is known to be gone stays: %v", err)
	}
}

// What is news of other hosts costs the same with many containers as with one.
func TestReconcilePeersLooksAtNoContainer(t *testing.T) {
	k, d := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	if _, err := d.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	s, locals := beginSession(t, d)
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

// Without an agent no network of the host is left as an agent had it, also those on which
// nothing starts.
func TestFallBackToStaticIsForAllNetworks(t *testing.T) {
	k, d := newFakeHost(t)
	for i, config := range []string{testNetwork, redNetwork} {
		ns, r := request(config, i+1)
		if _, err := d.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			learnPeers(t, d)
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
	d.Agent = &fakeAgent{err: errors.New("it is not installed")}
	d.Warn = func(string) {}
	ns, r := request(redNetwork, 2)
	if _, err := d.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	l, err := k.HostNamespace().Link("vxlan-vxlan-network", kernel.FacetFDB)
	if err != nil || len(l.FDB) != 2 || !l.FDB[0].MAC.IsZero() || !l.FDB[1].MAC.IsZero() || !l.Tunnel.Learning {
		t.Errorf("got %v, learning %v, %v; want the two listed hosts", l.FDB, l.Tunnel.Learning, err)
	}
}

// agentError is what an agent says that runs.
type agentError struct{ error }

func (agentError) Answered() {}

// An agent that answers, be it that something is wrong, sees to the networks itself.
func TestAgentThatAnswersIsNotReplaced(t *testing.T) {
	k, d := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	if _, err := d.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	learnPeers(t, d)
	d.Agent = &fakeAgent{err: agentError{errors.New("port 53 is taken")}}
	warnings := 0
	d.Warn = func(string) { warnings++ }
	k.Log = nil
	if _, err := d.Setup(ns, r); err != nil || warnings != 1 || len(k.Log) > 0 {
		t.Errorf("%v, %d warnings, changes:\n%s", err, warnings, strings.Join(k.Log, "\n"))
	}
}
