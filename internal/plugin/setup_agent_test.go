package plugin

import (
	"errors"
	"strings"
	"testing"
)

// Containers ask the agent at their gateways, also where it is slow or cannot be started now: they
// keep these servers. Where it is not installed they ask the host's servers. The user is told.
func TestSetupHandsOutTheAgentsNameServer(t *testing.T) {
	_, plugin := newFakeHost(t)
	agent := new(fakeAgent)
	plugin.Agent = agent
	ns, r := request(testNetwork, 1)
	s, err := plugin.Setup(ns, r)
	if err != nil || len(s.DNSServerIPs) != 2 || s.DNSServerIPs[0].String() != "10.0.0.1" || s.DNSSearchDomains[0] != "dns.podman" || agent.syncs.Load() != 1 {
		t.Errorf("got %+v, %v after %d syncs", s, err, agent.syncs.Load())
	}
	if err := plugin.Teardown(ns, r); err != nil || agent.notified.Load() != 1 {
		t.Errorf("teardown: %v, the agent was told %d times", err, agent.notified.Load())
	}
	var warned string
	plugin.Warn = func(message string) { warned = message }
	for _, c := range []struct {
		err     error
		servers int
		warning string
	}{
		{notInstalledError{errors.New("it is not installed")}, 0, "network vxlan-network: no container names, only the host's name servers: it is not installed"},
		{errors.New("it ended at once"), 2, "network vxlan-network: no container names yet: it ended at once"},
		{agentError{errors.New("it is slow")}, 2, "network vxlan-network: no container names yet: it is slow"},
	} {
		agent.err = c.err
		s, err = plugin.Setup(ns, r)
		if err != nil || len(s.DNSServerIPs) != c.servers || len(s.DNSSearchDomains) != c.servers/2 || warned != c.warning {
			t.Errorf("%v: got %+v, %v, warned %q", c.err, s, err, warned)
		}
	}
	silent := strings.Replace(testNetwork, `"dns_enabled": true`, `"dns_enabled": false`, 1)
	agent.syncs.Store(0)
	ns, r = request(silent, 2)
	if _, err := plugin.Setup(ns, r); err != nil || agent.syncs.Load() != 0 {
		t.Errorf("got %v after %d syncs", err, agent.syncs.Load())
	}
}

// notInstalledError is the error of an agent that cannot be started.
type notInstalledError struct{ error }

func (notInstalledError) NotInstalled() {}

// The agent hears of a network's first container before it is built, so that it can tell the other
// hosts meanwhile. It does not hear so of later ones, or where there are no names.
func TestAgentHearsOfAFirstContainerBeforehand(t *testing.T) {
	_, plugin := newFakeHost(t)
	agent := new(fakeAgent)
	plugin.Agent = agent
	silent := strings.Replace(testNetwork, `"dns_enabled": true`, `"dns_enabled": false`, 1)
	for _, step := range []struct {
		network   string
		container int
		want      int32
	}{{testNetwork, 1, 1}, {testNetwork, 2, 0}, {silent, 1, 0}} {
		agent.joining.Store(0)
		ns, r := request(step.network, step.container)
		if _, err := plugin.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
		if got := agent.joining.Load(); got != step.want {
			t.Errorf("container %d of %s: the agent was told %d times", step.container, step.network, got)
		}
		if step.container == 2 {
			for i := 1; i <= 2; i++ {
				if err := plugin.Teardown(request(step.network, i)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
