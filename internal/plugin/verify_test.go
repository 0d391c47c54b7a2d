package plugin

import (
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
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
