package network

import (
	"strings"
	"testing"
)

// When a network is created with a list of hosts, its gateway is not known yet. It has names all the same, and so
// agents.
func TestEncryptionBeforeTheGatewayIsKnown(t *testing.T) {
	for dns, refused := range map[string]bool{"true": false, "false": true} {
		_, err := ParseStored([]byte(`{"name": "enc", "id": "aa11", "driver": "vxlan", "subnets": [{"subnet": "10.3.0.0/24"}],
			"dns_enabled": ` + dns + `, "options": {"encryption": "wireguard", "vni": "300"}}`))
		if err == nil || strings.Contains(err.Error(), "needs the agents") != refused {
			t.Errorf("dns_enabled %s: %v", dns, err)
		}
	}
}
