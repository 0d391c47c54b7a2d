package network

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestParsePortMappings(t *testing.T) {
	at := netip.MustParseAddr
	tests := []struct {
		name, in string
		want     []PortMapping
		problem  string
	}{
		{"none", ``, nil, ""},
		{"null", `null`, nil, ""},
		{"every address", `[{"container_port": 80, "host_ip": "", "host_port": 8080, "protocol": "tcp", "range": 1}]`,
			[]PortMapping{{Protocol: ProtocolTCP, HostPort: 8080, ContainerPort: 80, Count: 1}}, ""},
		{"no range is one", `[{"container_port": 80, "host_port": 8080, "protocol": "sctp", "range": 0}]`,
			[]PortMapping{{Protocol: ProtocolSCTP, HostPort: 8080, ContainerPort: 80, Count: 1}}, ""},
		{"several protocols", `[{"container_port": 53, "host_ip": "::1", "host_port": 53, "protocol": "tcp,udp", "range": 3}]`,
			[]PortMapping{{ProtocolTCP, at("::1"), 53, 53, 3}, {ProtocolUDP, at("::1"), 53, 53, 3}}, ""},
		{"mapped IPv4", `[{"container_port": 1, "host_ip": "::ffff:192.0.2.1", "host_port": 1, "protocol": "tcp"}]`,
			[]PortMapping{{ProtocolTCP, at("192.0.2.1"), 1, 1, 1}}, ""},
		{"bad host_ip", `[{"container_port": 80, "host_ip": "999.1.1.1", "host_port": 8080, "protocol": "tcp"}]`, nil,
			`published port 8080 "999.1.1.1": must have an IP address of this host to be published on`},
		{"bad protocol", `[{"container_port": 80, "host_port": 8080, "protocol": "dccp"}]`, nil,
			`published port 8080 "dccp": must be of protocol tcp, udp or sctp`},
		{"range too long", `[{"container_port": 80, "host_port": 65530, "protocol": "tcp", "range": 7}]`, nil,
			`published port 65530 "7 ports to 80": must have port numbers from 1 to 65535`},
		{"to the last port", `[{"container_port": 80, "host_port": 65530, "protocol": "tcp", "range": 6}]`,
			[]PortMapping{{Protocol: ProtocolTCP, HostPort: 65530, ContainerPort: 80, Count: 6}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var problems Problems
			got, err := parsePortMappings([]byte(tt.in), &problems)
			if err != nil {
				t.Fatal(err)
			}
			if tt.problem != "" {
				if problems.Error() != tt.problem {
					t.Errorf("got %v, want %s", problems, tt.problem)
				}
				return
			}
			if len(problems) > 0 || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %v, %v\nwant %v", got, problems, tt.want)
			}
		})
	}
	if _, err := parsePortMappings([]byte(`{}`), new(Problems)); err == nil || !strings.Contains(err.Error(), "read port mappings") {
		t.Errorf("got %v", err)
	}
}

// FuzzEndpoint: whatever netavark passes, what is accepted can be published.
func FuzzEndpoint(f *testing.F) {
	f.Add([]byte(`{"interface_name":"eth0","static_ips":["10.0.0.2"],"options":{"host_interface_name":"web0"}}`),
		[]byte(`[{"container_port": 80, "host_ip": "::1", "host_port": 65535, "protocol": "tcp,udp", "range": 1}]`))
	f.Add([]byte(`{"interface_name":"eth0","static_ips":["fd00:10::2"],"static_mac":"02:00:00:00:00:01"}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, options, ports []byte) {
		e, err := ParseEndpoint(dualStackNetwork(t), AttachRequest{ContainerID: "c1", Namespace: "/x", Options: options, Ports: ports})
		if err != nil {
			return
		}
		for _, m := range e.Ports {
			if m.Count == 0 || int(m.HostPort)+int(m.Count) > 65536 || int(m.ContainerPort)+int(m.Count) > 65536 || m.Protocol.Number() == 0 {
				t.Errorf("accepted %+v", m)
			}
		}
	})
}
