package paritytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
)

// object is a JSON object.
type object = map[string]any

// request is what Podman passes to netavark, and netavark to a plugin. It is for what Podman's
// command line cannot express, or would refuse or repair itself.
type request struct {
	network object   // members that differ from those of a dual-stack network
	options object   // of the network
	perNet  object   // of the container in the network
	ports   []object // of the container
	id      string   // of the container, and the name of its network namespace
}

// containerJSON of the network as this driver needs them.
func (s *scene) containerJSON(r request) object {
	network := object{
		"name": "direct", "id": strings.Repeat("d", 64), "driver": s.driver, "network_interface": "direct0",
		"dns_enabled": false, "internal": false, "ipv6_enabled": true,
		"subnets": []object{{"subnet": "10.9.0.0/24", "gateway": "10.9.0.1"}, {"subnet": "fd00:9::/64", "gateway": "fd00:9::1"}},
	}
	options := object{}
	if s.driver == "vxlan" {
		options = object{"vni": "99", "local_ip": hostA4, "remote_ips": "198.18.0.12", "physical_interface": "eth0"}
	}
	maps.Copy(options, r.options)
	network["options"] = options
	maps.Copy(network, r.network)
	return network
}

func optionsByNetwork(r request) object {
	options := object{"interface_name": "eth0", "static_ips": []string{"10.9.0.20", "fd00:9::20"}}
	maps.Copy(options, r.perNet)
	return options
}

// runNetavark is the script that runs a verb of netavark with a request. It must be run on host-a.
func (s *scene) runNetavark(verb string, r request) string {
	s.Helper()
	file := s.writeJSON(object{
		"container_id": r.id, "container_name": r.id, "port_mappings": r.ports,
		"networks": object{"direct": optionsByNetwork(r)}, "network_info": object{"direct": s.containerJSON(r)},
	})
	return "mkdir -p /tmp/run; /usr/lib/podman/netavark --config /tmp/run --plugin-directory /usr/local/libexec/netavark " +
		verb + " /run/netns/" + r.id + " < " + file
}

// runPlugin is the script that runs a verb of the plugin as netavark does, for members that this
// netavark drops or does not know.
func (s *scene) runPlugin(verb string, r request) string {
	s.Helper()
	file := s.writeJSON(object{
		"container_id": r.id, "container_name": r.id, "port_mappings": r.ports,
		"network": s.containerJSON(r), "network_options": optionsByNetwork(r),
	})
	return "/usr/local/libexec/netavark/vxlan " + verb + " /run/netns/" + r.id + " < " + file
}

// requests counts the files of requests. A script may run several; all are written before it runs.
var requests atomic.Int32

// writeJSON puts a value into a file of host-a, and returns its path there.
func (s *scene) writeJSON(value object) string {
	s.Helper()
	path := fmt.Sprintf("/tmp/request-%d.json", requests.Add(1))
	data, err := json.Marshal(value)
	if err != nil {
		s.Fatal(err)
	}
	if err := s.a.WriteFile(path, data, 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}

// runPeerInNetns answers in a namespace that `ip netns add` has made.
func (s *scene) runPeerInNetns(netns string) {
	s.Helper()
	s.mustRun(s.a, "mkdir -p /run/peer; rm -f /run/peer/"+netns+"; ip netns exec "+netns+" ip link set lo up; setsid -f ip netns exec "+netns+
		" peer serve "+netns+" tcp/80 udp/80 >/dev/null 2>&1;"+awaitPeer(netns))
}
