package plugin

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
)

// An address outside this host's part is asked for before it is given; one within it if the network
// wants that.
func TestSetupRefusesAnAddressInUse(t *testing.T) {
	holder := func(addr string) kernel.ProbeAnswer {
		return kernel.ProbeAnswer{Addr: netip.MustParseAddr(addr), MAC: kernel.MAC{2, 0, 0, 0, 0, 7}}
	}
	checked := strings.ReplaceAll(testNetwork, `"vni"`, `"address_check": "true", "vni"`)
	tests := []struct {
		name, network, addr string
		held                string
		want                string
	}{
		{"outside the part, held", testNetwork, "10.0.0.70", "10.0.0.70", "address 10.0.0.70 of network vxlan-network is in use: 02:00:00:00:00:07 on host 198.18.0.11 answers for it; choose another --ip"},
		{"outside the part, free", testNetwork, "10.0.0.70", "10.0.0.71", ""},
		{"within the part", testNetwork, "10.0.0.5", "10.0.0.5", ""},
		{"within the part, checked", checked, "10.0.0.5", "10.0.0.5", "address 10.0.0.5 of network vxlan-network is in use"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, plugin := newFakeHost(t)
			k.HostNamespace().ProbeAnswers = map[kernel.ProbeAnswer]netip.Addr{holder(tt.held): netip.MustParseAddr("198.18.0.11")}
			ns, r := request(tt.network, 1)
			r.Options = json.RawMessage(`{"interface_name": "eth0", "static_ips": ["` + tt.addr + `"]}`)
			_, err := plugin.Setup(ns, r)
			switch {
			case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %s", err, tt.want)
			case err != nil && (len(k.HostNamespace().Links()) != 1 || len(storedFiles(t, plugin)) > 0):
				t.Errorf("left %v, %v", k.HostNamespace().Links(), storedFiles(t, plugin))
			}
		})
	}
}

// answeringBridge has a bridge that answers for who is gone.
type answeringBridge struct{ hoststate.Namespace }

func (ns answeringBridge) ProbeAddresses(device string, from kernel.ProbeSender, addrs []netip.Addr) ([]kernel.ProbeAnswer, error) {
	if strings.HasPrefix(device, "vx") {
		return nil, nil
	}
	return ns.Namespace.ProbeAddresses(device, from, addrs)
}

// An address for which only this host's own bridge answers is free, unless it answers for a
// container of this host.
func TestSetupProbesTheOtherHostItself(t *testing.T) {
	for vtep, refused := range map[netip.Addr]bool{netip.MustParseAddr("198.18.0.11"): false, {}: true} {
		k, plugin := newFakeHost(t)
		open := plugin.Open
		plugin.Open = func(path string) (hoststate.Namespace, error) {
			ns, err := open(path)
			return answeringBridge{ns}, err
		}
		addr := netip.MustParseAddr("10.0.0.70") // of another's part
		k.HostNamespace().ProbeAnswers = map[kernel.ProbeAnswer]netip.Addr{{Addr: addr, MAC: kernel.MAC{2, 7}}: vtep}
		ns, r := request(testNetwork, 1)
		r.Options = json.RawMessage(`{"interface_name": "eth0", "static_ips": ["` + addr.String() + `"]}`)
		if _, err := plugin.Setup(ns, r); (err != nil) != refused {
			t.Errorf("held on %v: %v", vtep, err)
		}
	}
}
