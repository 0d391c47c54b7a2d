package agent

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/kernel"
)

// A container's start depends on its own network only. An underlay of another network that is gone
// must not cost it its names, nor, on a network whose hosts find each other, its start.
func TestSyncReportsOnlyItsOwnNetwork(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.kernel.HostNamespace().Add(kernel.Link{Name: "eth1", MTU: 1500, Up: true, Addrs: []kernel.Addr{{Prefix: netip.MustParsePrefix("198.19.0.10/24")}}})
		r.setup(1)
		ns, q := attachRequest(2)
		q.Network = json.RawMessage(strings.NewReplacer("blue", "red", "7c7b", "8d8d", `"100"`, `"200"`, "198.18", "198.19", "eth0", "eth1", "10.0.0", "10.1.0").Replace(testNetwork))
		q.Options = json.RawMessage(`{"interface_name": "eth0", "static_ips": ["10.1.0.3"]}`)
		if _, err := r.plugin.Setup(ns, q); err != nil {
			t.Fatal(err)
		}
		r.kernel.HostNamespace().Remove("eth1")
		r.startIdle()
		sync := func(id string) string {
			return r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbSync, Network: id}).Error
		}
		if got := sync("7c7b"); got != "" {
			t.Errorf("blue: %s", got)
		}
		for _, id := range []string{"8d8d", ""} {
			if got := sync(id); !strings.Contains(got, "eth1") {
				t.Errorf("%q: %s", id, got)
			}
		}
		r.names.failWith(errors.Join(dns.ZoneError{Network: "red", Err: errors.New("no room")}))
		if got := sync("7c7b"); got != "" {
			t.Errorf("blue has no names: %s", got)
		}
		if got := sync("8d8d"); !strings.Contains(got, "no room") {
			t.Errorf("red has names: %s", got)
		}
		if got := r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbStatus}).Status.Problem; !strings.Contains(got, "eth1") {
			t.Errorf("status: %s", got)
		}
		r.finish()
	})
}
