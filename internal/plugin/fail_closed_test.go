package plugin

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/hoststate"
)

// damages are what may keep a network's state from being read. The files are of network 7c71.
var damages = map[string]func(dir string) error{
	"option of a newer version": func(dir string) error {
		newer := strings.Replace(numberedNetwork(1, `"vni"`, `"port_security": "true", "vni"`), `"vni"`, `"from_the_future": "1", "vni"`, 1)
		return os.WriteFile(filepath.Join(dir, "network.json"), []byte(newer), 0o600)
	},
	"empty configuration":    func(dir string) error { return os.WriteFile(filepath.Join(dir, "network.json"), nil, 0o600) },
	"no configuration":       func(dir string) error { return os.Remove(filepath.Join(dir, "network.json")) },
	"configuration is a dir": replaceByDir("network.json"),
	"empty endpoint":         func(dir string) error { return os.WriteFile(filepath.Join(dir, "endpoints/c1.json"), nil, 0o600) },
	"endpoint is a dir":      replaceByDir("endpoints/c1.json"),
}

func replaceByDir(name string) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, name)
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.Mkdir(path, 0o700)
	}
}

// A network whose state cannot be read keeps what the firewall has of it, whoever sets the firewall
// anew.
func TestUnreadNetworkKeepsItsFirewall(t *testing.T) {
	for damage, apply := range damages {
		for verb, run := range map[string]func(*Plugin) error{
			"start": func(plugin *Plugin) error {
				_, err := plugin.Setup("/ns/2", requestsOn([]string{numberedNetwork(1), numberedNetwork(2)}, 2)[1])
				return err
			},
			// Reload and the agent report the network.
			"reload": func(plugin *Plugin) error {
				if _, err := plugin.Reload(); err == nil {
					t.Errorf("%s: reload does not report it", damage)
				}
				return nil
			},
			"agent": func(plugin *Plugin) error {
				s, err := plugin.Begin()
				if err != nil {
					return err
				}
				defer s.Close()
				networks, _ := s.Networks()
				return s.Reconcile(networks, hoststate.ScopeFull)
			},
		} {
			t.Run(damage+"/"+verb, func(t *testing.T) {
				k, plugin := newFakeHost(t)
				networks := []string{numberedNetwork(1, `"vni"`, `"port_security": "true", "vni"`), numberedNetwork(2)}
				for i := range 2 {
					if _, err := plugin.Setup([]string{"/ns/1", "/ns/2"}[i], requestsOn(networks, i+1)[i]); err != nil {
						t.Fatal(err)
					}
				}
				want := k.HostNamespace().Firewall()
				if err := apply(filepath.Join(plugin.StoreDir, "networks/7c71")); err != nil {
					t.Fatal(err)
				}
				k.HostNamespace().AlterRules()
				if err := run(plugin); err != nil {
					t.Error(err)
				}
				if intact, _ := k.HostNamespace().FirewallIntact(); !intact {
					t.Error("the rules are not set anew")
				}
				got := k.HostNamespace().Firewall()
				for _, line := range want {
					if !slices.Contains(got, line) {
						t.Errorf("lost %s", line)
					}
				}
			})
		}
	}
}

// Whatever became of a container's record, its teardown leaves none of its elements, and all of
// another's.
func TestTeardownWithoutRecord(t *testing.T) {
	for name, damage := range map[string]func(string) error{
		"empty": func(record string) error { return os.WriteFile(record, nil, 0o600) },
		"half":  func(record string) error { return os.WriteFile(record, []byte(`{"ContainerID": "c1", "Na`), 0o600) },
		"gone":  os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			k, plugin := newFakeHost(t)
			networks := []string{numberedNetwork(1, `"vni"`, `"port_security": "true", "vni"`)}
			other, leaving := requestsOn(networks, 2)[0], requestsOn(networks, 1)[0]
			if _, err := plugin.Setup("/ns/2", other); err != nil {
				t.Fatal(err)
			}
			want := k.HostNamespace().Firewall()
			if _, err := plugin.Setup("/ns/1", leaving); err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(plugin.StoreDir, "networks/7c71/endpoints/c1.json")); err != nil {
				t.Fatal(err)
			}
			if err := plugin.Teardown("/ns/1", leaving); err != nil {
				t.Error(err)
			}
			if got := k.HostNamespace().Firewall(); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// Beside a network's other container whose configuration was lost, a teardown that sets the
// firewall anew leaves the other's.
func TestTeardownBesideLostConfiguration(t *testing.T) {
	k, plugin := newFakeHost(t)
	networks := []string{numberedNetwork(1, `"vni"`, `"port_security": "true", "vni"`)}
	other, leaving := requestsOn(networks, 2)[0], requestsOn(networks, 1)[0]
	if _, err := plugin.Setup("/ns/2", other); err != nil {
		t.Fatal(err)
	}
	want := k.HostNamespace().Firewall()
	if _, err := plugin.Setup("/ns/1", leaving); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(plugin.StoreDir, "networks/7c71")
	if err := os.Remove(filepath.Join(dir, "network.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "endpoints/c1.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := plugin.Teardown("/ns/1", leaving); err != nil {
		t.Error(err)
	}
	got := k.HostNamespace().Firewall()
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("lost %s", line)
		}
	}
}
