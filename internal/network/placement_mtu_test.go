package network

import "testing"

// The batches that wireguard-go makes of full packets stay whole.
func TestMTUOfEncryptedNetworks(t *testing.T) {
	for _, tt := range []struct {
		underlay int
		local    string
		want     int
	}{
		{1500, "192.168.1.10", 1376}, // 46 packets of 1,424 bytes would be 65,546 with all headers
		{1500, "fd00:1::10", 1350},
		{1486, "192.168.1.10", 1376},
		{1420, "192.168.1.10", 1310},
		{9000, "192.168.1.10", 8890},
		{65535, "192.168.1.10", 65425},
	} {
		want := tt.want
		most := tt.underlay - (Network{Encryption: EncryptionWireGuard}).Overhead(tt.local[0] == 'f')
		if got := largestInBatches(most, tt.local[0] == 'f'); got != want {
			t.Errorf("on an underlay of %d bytes at %s the MTU is %d, want %d", tt.underlay, tt.local, got, want)
		}
	}
}
