package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/network"
)

// Whatever fails, a container that is still connected keeps its rules. What was left then goes.
func TestCleanFailsClosed(t *testing.T) {
	for _, isLost := range []bool{false, true} {
		t.Run(fmt.Sprintf("store lost: %v", isLost), func(t *testing.T) { testCleanFailsClosed(t, isLost) })
	}
}

func testCleanFailsClosed(t *testing.T, isLost bool) {
	for i := 1; ; i++ {
		k, plugin := newFakeHost(t)
		host := k.HostNamespace()
		if _, err := plugin.Setup(request(testNetwork, 1)); err != nil {
			t.Fatal(err)
		}
		if isLost {
			if err := os.RemoveAll(filepath.Join(plugin.StoreDir, "networks")); err != nil {
				t.Fatal(err)
			}
		}
		k.FailAt = k.Calls + i
		err := plugin.Clean()
		if err == nil && k.Calls < k.FailAt {
			if i < 5 {
				t.Fatalf("it made %d calls", i)
			}
			return
		}
		tunnels, _ := host.Tunnels()
		if intact, _ := host.FirewallIntact(); len(tunnels) > 0 && !intact {
			t.Errorf("fault %d: %v: %s is left, and no rules", i, err, tunnels[0].Name)
		}
		if err := plugin.Clean(); err != nil {
			t.Errorf("again after fault %d: %v", i, err)
		}
		tunnels, _ = host.Tunnels()
		if len(tunnels) > 0 || host.Firewall() != nil {
			t.Errorf("after fault %d and a second time: left %v and %q", i, tunnels, host.Firewall())
		}
	}
}

// What other programs were told goes too, of a network whose records are lost as well.
func TestLostNetworkIsForgotten(t *testing.T) {
	for verb, run := range map[string]func(*Plugin) error{
		"cleanup": func(plugin *Plugin) error { return plugin.Clean() },
		"reload":  func(plugin *Plugin) error { _, err := plugin.Reload(); return err },
	} {
		t.Run(verb, func(t *testing.T) { testLostNetworkIsForgotten(t, run) })
	}
}

func testLostNetworkIsForgotten(t *testing.T, run func(*Plugin) error) {
	k, plugin := newFakeHost(t)
	host := k.HostNamespace()
	with := strings.Replace(testNetwork, `"vni": "100"`, `"vni": "100", "firewall_integration": "docker"`, 1)
	if _, err := plugin.Setup(request(with, 1)); err != nil {
		t.Fatal(err)
	}
	k.RemoveNamespace("/ns/1")
	if err := os.RemoveAll(filepath.Join(plugin.StoreDir, "networks")); err != nil {
		t.Fatal(err)
	}
	if err := run(plugin); err != nil {
		t.Error(err)
	}
	if len(host.DockerAccepts) > 0 {
		t.Errorf("Docker still lets %q pass", host.DockerAccepts)
	}
	if zones := plugin.Zones.(*fakeZones).devices; len(zones) > 0 {
		t.Errorf("firewalld still trusts %v", zones)
	}
	if files, _ := filepath.Glob(plugin.SysctlDir + "/*"); len(files) > 0 {
		t.Errorf("left %q", files)
	}
	tunnels, _ := host.Tunnels()
	links, _ := host.UnattachedLinks()
	for _, l := range slices.Concat(tunnels, links) {
		if network.IDFromAlias(l.Alias) != "" {
			t.Errorf("%s is left", l.Name)
		}
	}
}
