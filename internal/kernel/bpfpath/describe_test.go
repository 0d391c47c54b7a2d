package bpfpath

import (
	"net/netip"
	"testing"

	"vxlan-driver/internal/kernel"
)

// No outer header can tell of a longer packet than 65,535 bytes, whatever the interfaces take.
func TestLongestPacket(t *testing.T) {
	for _, test := range []struct {
		device, underlay int
		local            string
		want             uint16
	}{
		{1450, 1500, "198.18.0.1", 1450},
		{1500, 1500, "198.18.0.1", 1450},
		{1500, 1500, "fd18::1", 1430},
		{65535, 70000, "198.18.0.1", 65485},
		{65535, 70000, "fd18::1", 65465},
		{1450, 40, "198.18.0.1", 0},
	} {
		device := kernel.Link{MTU: test.device, Tunnel: kernel.Tunnel{Local: netip.MustParseAddr(test.local)}}
		if got := networkOf(device, kernel.Link{MTU: test.underlay}, kernel.FastPath{}).Mtu; got != test.want {
			t.Errorf("%+v: inner packets of up to %d bytes", test, got)
		}
	}
}
