package plan

import (
	"fmt"
	"slices"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// All frames of an encrypted network leave by the WireGuard device, and while there is none, none
// leaves. It never learns, whatever the host or a user wants.
func TestEncryptedNetworkSendsByWireGuardOnly(t *testing.T) {
	encrypted := blue()
	encrypted.Encryption = network.EncryptionWireGuard
	for _, tt := range []struct {
		name   string
		n      network.Network
		via    string
		floods string
		sends  string
		learns bool
	}{
		{"not encrypted", blue(), "", "[{00:00:00:00:00:00 198.18.0.11 0 0 } {00:00:00:00:00:00 198.18.0.12 0 0 }]",
			"[{02:00:00:00:00:01 198.18.0.11 0 0 }]", true},
		{"no device", encrypted, "", "[]", "[]", false},
		{"a device", encrypted, "wg1-blue",
			"[{00:00:00:00:00:00 198.18.0.11 0 0 wg1-blue} {00:00:00:00:00:00 198.18.0.12 0 0 wg1-blue}]",
			"[{02:00:00:00:00:01 198.18.0.11 0 0 wg1-blue}]", false},
	} {
		v := vtep
		v.WireGuard = tt.via
		d := networkDevices(PlacedNetwork{Network: tt.n, VTEP: v}, false).VXLAN
		if fmt.Sprint(d.FDB) != tt.floods || d.Tunnel.Learning != tt.learns {
			t.Errorf("%s: flood entries %v, learns %v", tt.name, d.FDB, d.Tunnel.Learning)
		}
		known := Known{StaticFDB: true, WishFastPath: WishFastPath,
			Remotes: NewRemotes(remote(mac(1), "198.18.0.11", "10.0.0.5"))}
		f := Forward(tt.n, v, known)
		if fmt.Sprint(f.Tables.FDB) != tt.sends || len(f.Tables.Static) != len(f.Tables.FDB) ||
			len(f.Tables.Neighbours) != len(f.Tables.FDB) {
			t.Errorf("%s: %+v", tt.name, f.Tables)
		}
		if (f.FastPath.Encrypted != nil) != tt.n.Encrypts() {
			t.Errorf("%s: the fast path is %+v", tt.name, f.FastPath)
		}
		asked := []kernel.FDB{{Dst: remotes[0]}, {Dst: remotes[0], Via: "wg0-blue"}, {Dst: remotes[0], Via: "wg1-blue"}}
		known.Only = &kernel.ForwardingKeys{Flood: asked}
		want := slices.DeleteFunc(slices.Clone(asked), func(e kernel.FDB) bool { return e.Via != tt.via || len(d.FDB) == 0 })
		if got := Forward(tt.n, v, known).Tables.Flood; !slices.Equal(got, want) {
			t.Errorf("%s: of single flood entries %v are wanted", tt.name, got)
		}
	}
}
