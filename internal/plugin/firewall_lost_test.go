package plugin

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/fakekernel"
	"vxlan-driver/internal/netavark"
)

// lostFirewalls are what somebody may have made of the firewall.
var lostFirewalls = map[string]func(*fakekernel.Namespace){
	"whole":           func(*fakekernel.Namespace) {},
	"flushed":         func(ns *fakekernel.Namespace) { ns.FlushRuleset() },
	"no inet table":   func(ns *fakekernel.Namespace) { ns.DeleteTable(kernel.FamilyInet) },
	"no bridge table": func(ns *fakekernel.Namespace) { ns.DeleteTable(kernel.FamilyBridge) },
	"other rules":     func(ns *fakekernel.Namespace) { ns.AlterRules() },
	"other version":   func(ns *fakekernel.Namespace) { ns.InstallOtherVersion() },
	"no elements":     func(ns *fakekernel.Namespace) { ns.DeleteElements() },
}

// numberedNetwork is testNetwork in its i-th variant.
func numberedNetwork(i int, edits ...string) string {
	s := strings.NewReplacer(`"id": "7c7b"`, fmt.Sprintf(`"id": "7c7%d"`, i), "vxlan-network", fmt.Sprintf("net%d", i),
		`"100"`, fmt.Sprintf(`"10%d"`, i), "10.0.0.", fmt.Sprintf("10.%d.0.", i), "fd00:10:", fmt.Sprintf("fd00:1%d:", i)).Replace(testNetwork)
	return strings.NewReplacer(edits...).Replace(s)
}

// requestsOn are those of container number i on networks; all of them publish its port.
func requestsOn(networks []string, i int) (all []netavark.Request) {
	for at, config := range networks {
		all = append(all, netavark.Request{
			ContainerID: fmt.Sprintf("c%d", i), ContainerName: fmt.Sprintf("container-%d", i), Network: json.RawMessage(config),
			Options:      json.RawMessage(fmt.Sprintf(`{"interface_name": "eth%d", "static_ips": ["10.%d.0.%d"]}`, at, at+1, i+1)),
			PortMappings: json.RawMessage(fmt.Sprintf(`[{"container_port": 80, "host_port": %d, "protocol": "tcp"}]`, 8080+i)),
		})
	}
	return all
}

// Whatever became of the firewall, each verb works, and what comes next finds the firewall whole.
func TestVerbsWithLostFirewall(t *testing.T) {
	for config, edits := range map[string][]string{
		"names":         nil,
		"no names":      {`"dns_enabled": true`, `"dns_enabled": false`},
		"internal":      {`"internal": false`, `"internal": true`},
		"port security": {`"vni"`, `"port_security": "true", "vni"`},
	} {
		for count := 1; count <= 3; count++ {
			var networks []string
			for i := range count {
				networks = append(networks, numberedNetwork(i+1, edits...))
			}
			for state, lose := range lostFirewalls {
				t.Run(fmt.Sprintf("%s/%d networks/%s", config, count, state), func(t *testing.T) {
					testVerbsWithLostFirewall(t, networks, lose)
				})
			}
		}
	}
}

func testVerbsWithLostFirewall(t *testing.T, networks []string, lose func(*fakekernel.Namespace)) {
	k, plugin := newFakeHost(t)
	plugin.Warn = func(message string) {
		if !strings.Contains(message, "its ports are not published") {
			t.Error(message)
		}
	}
	empty := k.HostNamespace().Links()
	namespaces := map[string]string{"c1": "/ns/1", "c2": "/ns/2"}
	setup := func(r netavark.Request) {
		t.Helper()
		if _, err := plugin.Setup(namespaces[r.ContainerID], r); err != nil {
			t.Errorf("set up: %v", err)
		}
	}
	teardown := func(r netavark.Request) {
		t.Helper()
		if err := plugin.Teardown(namespaces[r.ContainerID], r); err != nil {
			t.Errorf("tear down: %v", err)
		}
	}
	first, other := requestsOn(networks, 1), requestsOn(networks, 2)
	each := func(do func(netavark.Request), requests []netavark.Request) {
		t.Helper()
		for _, r := range requests {
			do(r)
		}
	}
	each(setup, first)
	each(setup, other)
	host := k.HostNamespace()
	want := host.Firewall()
	compare := func(verb string) {
		t.Helper()
		if got := host.Firewall(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", verb, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	lose(host)
	each(teardown, first)
	each(setup, first)
	compare("restart")
	lose(host)
	teardown(first[0])
	lose(host)
	setup(first[0])
	each(teardown, first)
	each(setup, first)
	compare("disconnect and connect")
	each(teardown, first)
	lose(host)
	each(setup, first)
	compare("start")
	lose(host)
	each(setup, first) // an interrupted setup that comes again
	lose(host)
	each(teardown, first)
	lose(host)
	each(teardown, other)
	if got := host.Firewall(); got != nil {
		t.Errorf("left %v", got)
	}
	if got := host.Links(); !reflect.DeepEqual(got, empty) {
		t.Errorf("left %+v", got)
	}
	if files := storedFiles(t, plugin); len(files) > 0 {
		t.Errorf("left %v", files)
	}
}

// A published port leads to the network that is left at once, also where the firewall was lost.
func TestDisconnectRestoresLostFirewall(t *testing.T) {
	networks := []string{numberedNetwork(1), numberedNetwork(2)}
	k, plugin := newFakeHost(t)
	requests := requestsOn(networks, 1)
	for _, r := range requests {
		if _, err := plugin.Setup("/ns/1", r); err != nil {
			t.Fatal(err)
		}
	}
	k.HostNamespace().FlushRuleset()
	if err := plugin.Teardown("/ns/1", requests[0]); err != nil {
		t.Error(err)
	}
	got := strings.Join(k.HostNamespace().Firewall(), "\n")
	if !strings.Contains(got, "ports4: tcp . 8081 : 10.2.0.2 . 80") || !strings.Contains(got, `bridges: "br-net2"`) || strings.Contains(got, "10.1.0.2") {
		t.Errorf("got\n%s", got)
	}
}
