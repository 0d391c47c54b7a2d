package plugin

import (
	"strings"
	"testing"
)

// A name for the host's interface that another container has is refused with that container's name.
func TestTakenHostInterfaceNamesItsHolder(t *testing.T) {
	_, plugin := newFakeHost(t)
	networks := []string{numberedNetwork(1), numberedNetwork(2)}
	first, second := requestsOn(networks, 1)[0], requestsOn(networks, 2)[1]
	first.Options = []byte(`{"interface_name": "eth0", "static_ips": ["10.1.0.2"], "options": {"host_interface_name": "web0"}}`)
	second.Options = []byte(`{"interface_name": "eth0", "static_ips": ["10.2.0.3"], "options": {"host_interface_name": "web0"}}`)
	if _, err := plugin.Setup("/ns/1", first); err != nil {
		t.Fatal(err)
	}
	_, err := plugin.Setup("/ns/2", second)
	if err == nil || !strings.Contains(err.Error(), "host_interface_name web0 is taken by container container-1 (c1) on network net1") {
		t.Errorf("got %v", err)
	}
	if err := plugin.Teardown("/ns/1", first); err != nil {
		t.Error(err)
	}
	if _, err := plugin.Setup("/ns/2", second); err != nil {
		t.Errorf("once it is free: %v", err)
	}
}
