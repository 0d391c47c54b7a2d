package plugin

import (
	"encoding/json"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/ethtool"
)

// The offload of checksums is as the network says, also after somebody changed it or deleted the
// device. Without the option it is left alone.
func TestRealChecksumOffloadStays(t *testing.T) {
	host, _ := newRealHosts(t)
	conn, err := ethtool.Open(host.ns)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i, tt := range []struct {
		option        string
		altered, want bool
	}{
		{`"tx_checksum_offload": "off", `, true, false},
		{`"tx_checksum_offload": "on", `, false, true},
		{`"tx_checksum_offload": "auto", `, false, false},
		{``, false, false},
	} {
		ns, r := realRequest(t, "198.18.0.10", i+1)
		r.Network = json.RawMessage(strings.Replace(string(r.Network), `"vni"`, tt.option+`"vni"`, 1))
		if _, err := host.Setup(ns, r); err != nil {
			t.Fatal(err)
		}
		device := strings.Fields(runShell(t, host.ns, "ip -br link show type vxlan"))[0]
		check := func(when string, want bool) {
			t.Helper()
			if got, err := conn.TXChecksum(device); got != want || err != nil {
				t.Errorf("%s%s: %t, %v, want %t", tt.option, when, got, err, want)
			}
		}
		if tt.altered != tt.want {
			check("after the start", tt.want)
		}
		if err := conn.SetTXChecksum(kernel.SetTXChecksum{Name: device, On: tt.altered}); err != nil {
			t.Fatal(err)
		}
		verifyFirewall(t, host.Plugin) // and all else
		check("after somebody changed it", tt.want)
		runShell(t, host.ns, "ip link delete "+device)
		verifyFirewall(t, host.Plugin)
		check("after somebody deleted the device", tt.want || tt.altered == tt.want)
		if err := host.Teardown(ns, r); err != nil {
			t.Fatal(err)
		}
	}
}
