package ctl

import (
	"strings"
	"testing"

	"vxlan-driver/internal/config"
)

// Texts name the port on which this host's agents listen.
func TestExplainNamesTheConfiguredPort(t *testing.T) {
	host := fakeHost{config: config.Config{Port: 7000}}
	for code, want := range map[string]string{
		"VX0310": "drops port 7000 (UDP and TCP)", "VX0705": "Open port 7000 (UDP and TCP) between the hosts.", "VX0713": "Open port 7000, UDP and TCP",
		"VX0711": "use the ports 7946 and 7947", // those of others
	} {
		out, err := run(host, "explain", code)
		out = strings.Join(strings.Fields(out), " ")
		if err != nil || !strings.Contains(out, want) || strings.Contains(out, "port 7947") {
			t.Errorf("%s: %v\n%s", code, err, out)
		}
	}
}
