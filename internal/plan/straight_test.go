package plan

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// formatAddresses prints addresses in short: address=MAC, by the MAC's last octet, and >VTEP.
func formatAddresses(all []kernel.ContainerAddress) string {
	var s []string
	for _, a := range all {
		text := fmt.Sprintf("%s=%d", a.Addr, a.MAC[5])
		if a.VTEP.IsValid() {
			text += ">" + a.VTEP.String()
		}
		s = append(s, text)
	}
	return strings.Join(s, " ")
}

// Which IP packets of an encrypted network pass without a VXLAN header.
func TestEncryptedPath(t *testing.T) {
	const b, c = "198.18.0.11", "198.18.0.12"
	n := blue()
	n.Encryption = network.EncryptionWireGuard
	n.Identity.WireGuard = [2]network.DeviceName{{Name: "wg0-blue"}, {Name: "wg1-blue"}}
	n.Subnets[0].HostAddress = netip.MustParseAddr("10.0.0.63")
	bridge := network.BridgeMAC(n.Tunnel.VNI, vtep.Local)
	own, ceding, unknown := endpointWith("10.0.0.9/24"), endpointWith("10.0.0.7/24"), endpointWith("10.0.0.8/24")
	own.MAC, ceding.MAC = mac(9), mac(7)
	all := Known{
		StaticFDB: true, WishFastPath: WishFastPath, TakesIP: []netip.Addr{netip.MustParseAddr(b)},
		Local: []network.Endpoint{own, ceding, unknown},
		Ceded: map[netip.Addr]bool{netip.MustParseAddr("10.0.0.7"): true},
		Remotes: NewRemotes(remote(mac(1), b, "10.0.0.5", "fd00:10::5"),
			remote(mac(2), c, "10.0.0.6", "10.0.0.1", "10.0.0.9")),
	}
	some := all
	some.Only, some.SkipPorts = &kernel.ForwardingKeys{Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.6")}}, true
	alone := all
	alone.Local = nil
	v := vtep
	v.WireGuard = "wg1-blue"
	own63 := fmt.Sprintf(" 10.0.0.63=%d", bridge[5])
	for name, test := range map[string]struct {
		known                Known
		local, remotes, only string
	}{
		"all":  {all, "10.0.0.9=9" + own63, "10.0.0.5=1>" + b + " 10.0.0.6=2>" + c + " fd00:10::5=1>" + b, "[]"},
		"some": {some, "", "10.0.0.6=2>" + c, "[10.0.0.6]"},
		"no containers": {alone, "", "10.0.0.5=1>" + b + " 10.0.0.6=2>" + c + " 10.0.0.9=2>" + c + " fd00:10::5=1>" + b,
			"[]"},
	} {
		t.Run(name, func(t *testing.T) {
			p := Forward(n, v, test.known).FastPath.Encrypted
			if p == nil {
				t.Fatal("no path")
			}
			if p.Send != "wg1-blue" || fmt.Sprint(p.Receive) != "[wg0-blue wg1-blue]" || fmt.Sprint(p.Takers) != "["+b+"]" {
				t.Errorf("got %+v", p)
			}
			if (p.Only == nil) != (test.known.Only == nil) || fmt.Sprint(p.Only) != test.only {
				t.Errorf("looks at %v", p.Only)
			}
			if got := formatAddresses(p.Local); got != test.local {
				t.Errorf("local: got  %s\nwant %s", got, test.local)
			}
			if got := formatAddresses(p.Remote); got != test.remotes {
				t.Errorf("remote: got  %s\nwant %s", got, test.remotes)
			}
		})
	}
	n.Encryption = network.EncryptionOff
	if p := Forward(n, v, all).FastPath.Encrypted; p != nil {
		t.Errorf("without encryption: %+v", p)
	}
}
