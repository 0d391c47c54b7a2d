package plugin

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/netavark"
)

// Two networks share what they have in common, such as hosts; the one that goes takes along only
// its own.
func TestTeardownLeavesWhatAnotherNetworkNeeds(t *testing.T) {
	second := strings.NewReplacer(`"id": "7c7b"`, `"id": "9999"`, "vxlan-network", "other", `"100"`, `"200"`, "10.0.0.", "10.5.0.", "fd00:10:", "fd00:15:").Replace(testNetwork)
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	want := k.HostNamespace().Firewall()
	ns2, r2 := request(second, 2)
	r2.Options = json.RawMessage(`{"interface_name": "eth0", "static_ips": ["10.5.0.3"]}`)
	if _, err := plugin.Setup(ns2, r2); err != nil {
		t.Fatal(err)
	}
	// What cannot be read now is not taken for nothing.
	config := filepath.Join(plugin.StoreDir, "networks/7c7b/network.json")
	if err := errors.Join(os.Rename(config, config+".x"), os.Mkdir(config, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := plugin.Teardown(ns2, r2); err == nil {
		t.Error("a store that cannot be read is not reported")
	}
	if err := errors.Join(os.Remove(config), os.Rename(config+".x", config)); err != nil {
		t.Fatal(err)
	}
	if err := plugin.Teardown(ns2, r2); err != nil {
		t.Fatal(err)
	}
	if got := k.HostNamespace().Firewall(); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A port of a container on two networks leads by the first, and by the other once the first is
// gone.
func TestPublishedPortMovesToTheOtherNetwork(t *testing.T) {
	second := strings.NewReplacer(`"id": "7c7b"`, `"id": "9999"`, "vxlan-network", "other", `"100"`, `"200"`, "10.0.0.", "10.5.0.", "fd00:10:", "fd00:15:").Replace(testNetwork)
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	r.PortMappings = json.RawMessage(`[{"container_port": 80, "host_ip": "", "host_port": 8080, "protocol": "tcp", "range": 1}]`)
	r2 := r
	r2.Network = json.RawMessage(second)
	r2.Options = json.RawMessage(`{"interface_name": "eth1", "static_ips": ["10.5.0.3"]}`)
	has := func(want string) {
		t.Helper()
		if got := strings.Join(k.HostNamespace().Firewall(), "\n"); !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	for _, r := range []netavark.Request{r, r2} {
		if _, err := plugin.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
		has("ports4: tcp . 8080 : 10.0.0.2 . 80")
	}
	if err := plugin.Teardown(ns, r); err != nil {
		t.Fatal(err)
	}
	has("ports4: tcp . 8080 : 10.5.0.3 . 80")
	if err := plugin.Teardown(ns, r2); err != nil {
		t.Fatal(err)
	}
	if got := k.HostNamespace().Firewall(); got != nil {
		t.Errorf("left %v", got)
	}
}

// `nft flush ruleset`, and whatever else somebody did: reload puts it back.
func TestReload(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	r.PortMappings = json.RawMessage(`[{"container_port": 80, "host_port": 8080, "protocol": "tcp"}]`)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	want, links := k.HostNamespace().Firewall(), linksByName(k.HostNamespace().Links())
	for name, alter := range map[string]func(){
		"flushed":     k.HostNamespace().FlushRuleset,
		"altered":     k.HostNamespace().AlterRules,
		"device gone": func() { k.HostNamespace().Remove("vx-eaf72b2d") },
		"bridge gone": func() { k.HostNamespace().Remove("br-vx-eaf72b2d") },
		"nothing":     func() {},
	} {
		alter()
		if n, err := plugin.Reload(); n != 1 || err != nil {
			t.Errorf("%s: %d networks, %v", name, n, err)
		}
		if got := k.HostNamespace().Firewall(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if got := linksByName(k.HostNamespace().Links()); !reflect.DeepEqual(got, links) {
			t.Errorf("%s: got %v\nwant %v", name, got, links)
		}
	}
	if err := plugin.Teardown(ns, r); err != nil {
		t.Fatal(err)
	}
	if n, err := plugin.Reload(); n != 0 || err != nil || k.HostNamespace().Firewall() != nil {
		t.Errorf("%d networks, %v, %v", n, err, k.HostNamespace().Firewall())
	}
}

// While nobody can tell which networks there are, all of them keep their protection.
func TestReloadWithoutListOfNetworks(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	want := k.HostNamespace().Firewall()
	other := filepath.Join(plugin.StoreDir, "networks", "9999")
	if err := errors.Join(os.Mkdir(other, 0o700), os.WriteFile(filepath.Join(other, "endpoints"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if n, err := plugin.Reload(); n != 0 || err == nil {
		t.Errorf("%d networks, %v", n, err)
	}
	if got := k.HostNamespace().Firewall(); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A network whose underlay is away for a moment keeps its protection when another's start sets the
// firewall anew.
func TestNetworkWithoutUnderlayKeepsItsFirewall(t *testing.T) {
	second := strings.NewReplacer(`"id": "7c7b"`, `"id": "9999"`, "vxlan-network", "other", `"100"`, `"200"`, "10.0.0.", "10.5.0.", "fd00:10:", "fd00:15:", "eth0", "eth7", "198.18.0.10", "198.18.7.10").Replace(testNetwork)
	k, plugin := newFakeHost(t)
	k.HostNamespace().Add(kernel.Link{Name: "eth7", MTU: 1500, Up: true, Addrs: []kernel.Addr{{Prefix: netip.MustParsePrefix("198.18.7.10/24")}}})
	ns, r := request(testNetwork, 1)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	ns2, r2 := request(second, 2)
	r2.Options = json.RawMessage(`{"interface_name": "eth0", "static_ips": ["10.5.0.3"]}`)
	if _, err := plugin.Setup(ns2, r2); err != nil {
		t.Fatal(err)
	}
	want := k.HostNamespace().Firewall()
	k.HostNamespace().Edit("eth7", func(l *kernel.Link) { l.Up, l.Addrs = false, nil })
	k.HostNamespace().FlushRuleset()
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	if got := k.HostNamespace().Firewall(); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Where the network's fingerprint is gone, other containers' elements may be gone too.
func TestSetupWithoutFingerprintResetsFirewall(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	r.PortMappings = json.RawMessage(`[{"container_port": 80, "host_port": 8080, "protocol": "tcp"}]`)
	if _, err := plugin.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	want := k.HostNamespace().Firewall()
	if err := k.HostNamespace().Apply(kernel.SetFirewall{}); err != nil { // all rules, no elements
		t.Fatal(err)
	}
	ns2, r2 := request(testNetwork, 2)
	if _, err := plugin.Setup(ns2, r2); err != nil {
		t.Fatal(err)
	}
	if got := k.HostNamespace().Firewall(); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A setup that was interrupted and comes again with other ports leaves none of the first.
func TestRepeatedSetupReplacesPorts(t *testing.T) {
	k, plugin := newFakeHost(t)
	ns, r := request(testNetwork, 1)
	for _, port := range []string{"8080", "9090"} {
		r.PortMappings = json.RawMessage(`[{"container_port": 80, "host_port": ` + port + `, "protocol": "tcp"}]`)
		if _, err := plugin.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
	}
	got := strings.Join(k.HostNamespace().Firewall(), "\n")
	if strings.Contains(got, "8080") || !strings.Contains(got, "9090") {
		t.Errorf("got\n%s", got)
	}
}
