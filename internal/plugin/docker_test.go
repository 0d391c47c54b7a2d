package plugin

import (
	"slices"
	"strings"
	"testing"
)

// A network with the option is let pass in Docker's chain as long as it has a container here. What
// somebody removed comes back.
func TestDockerIntegration(t *testing.T) {
	k, plugin := newFakeHost(t)
	host := k.HostNamespace()
	const bridge = "br-vx-eaf72b2d"
	with := strings.Replace(testNetwork, `"vni": "100"`, `"vni": "100", "firewall_integration": "docker"`, 1)
	wants := func(when string, want ...string) {
		t.Helper()
		if !slices.Equal(host.DockerAccepts, want) {
			t.Errorf("%s: Docker lets %q pass, want %q", when, host.DockerAccepts, want)
		}
	}
	for i := 1; i <= 2; i++ {
		ns, r := request(with, i)
		if _, err := plugin.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
		wants("after a start", bridge)
	}
	host.DockerAccepts = nil
	verifyFirewall(t, plugin)
	wants("after somebody removed it", bridge)
	host.DockerAccepts = append(host.DockerAccepts, "br-gone")
	if _, err := plugin.Reload(); err != nil {
		t.Error(err)
	}
	wants("after a reload", bridge)
	for i := 1; i <= 2; i++ {
		ns, r := request(with, i)
		if err := plugin.Teardown(ns, r); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			wants("after the first of two has gone", bridge)
		}
	}
	wants("after the last has gone")
	ns, r := request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	wants("without the option")
}
