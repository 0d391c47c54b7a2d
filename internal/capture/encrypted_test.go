package capture

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"
)

// On a WireGuard device a filter is of what a VXLAN packet carries, and of a container's IP packet itself.
func TestCarriedByWireGuard(t *testing.T) {
	bytesOf := func(text string) []byte {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const (
		frame = "0200000000010200000000020800aabb"
		// IPv4 198.18.0.1 to 198.18.0.2, UDP to 4789, VNI 77.
		vxlan4 = "45000040000000004011" + "0000" + "c6120001" + "c6120002" + "c00012b500300000" + "0800000000004d00" + frame
		vxlan6 = "60000000003011402001000200000000000000000000000120010002000000000000000000000002" + "c00012b500300000" +
			"0800000000004d00" + frame
		// A container's packet to the same port of another container.
		inner = "45000024000000004011" + "0000" + "0a000001" + "0a000002" + "c00012b500100000" + "0102030405060708"
	)
	for _, tt := range []struct {
		name, local, packet, want string
	}{
		{"VXLAN over IPv4", "198.18.0.1", vxlan4, frame},
		{"VXLAN over IPv6", "2001:2::2", vxlan6, frame},
		{"a container's packet", "198.18.0.1", inner, "0000000000000000000000000800" + inner},
	} {
		c := Config{IPOnly: true, Local: netip.MustParseAddr(tt.local), Port: 4789}
		if got := c.carried(withEthernet(bytesOf(tt.packet))); !bytes.Equal(got, bytesOf(tt.want)) {
			t.Errorf("%s: carries %x", tt.name, got)
		}
	}
	for _, short := range []string{"", "45", "60000000"} {
		_ = Config{IPOnly: true}.carried(withEthernet(bytesOf(short))) // must not read beyond the end
	}
}
