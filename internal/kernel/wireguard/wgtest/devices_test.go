package wgtest_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/kernel/wireguard/wgtest"
)

func TestDevicesInMemory(t *testing.T) {
	d := wgtest.New()
	key := wireguard.Key{1}
	want := wireguard.Device{Name: "wg0-n", PrivateKey: key, MTU: 1440}
	for range 2 {
		s, err := d.Ensure(t.Context(), want)
		if err != nil || s.Port == 0 || s.PublicKey != key.Public() || !s.Running {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	if got := d.Changes(); len(got) != 1 {
		t.Errorf("two times the same device: %q", got)
	}
	a, b := wireguard.Key{2}, wireguard.Key{3}
	endpoint, roamed := netip.MustParseAddrPort("198.18.0.10:51820"), netip.MustParseAddrPort("198.18.9.9:1")
	first, second := netip.MustParsePrefix("10.0.0.2/32"), netip.MustParsePrefix("10.0.0.3/32")
	set := func(key wireguard.Key, allowed ...netip.Prefix) {
		t.Helper()
		p := wireguard.Peer{PublicKey: key, Endpoint: endpoint, AllowedIPs: allowed}
		if err := d.UpdatePeers(want.Name, []wireguard.Peer{p}, nil); err != nil {
			t.Fatal(err)
		}
	}
	set(a, first, second)
	d.Handshake(want.Name, a, time.Now())
	d.Roam(want.Name, a, roamed)
	set(a, second, first)
	set(b, second)
	s, err := d.State(want.Name)
	if err != nil || len(s.Peers) != 2 || !slices.Equal(s.Peers[0].AllowedIPs, []netip.Prefix{first}) ||
		s.Peers[0].Endpoint != roamed || s.Peers[0].LastHandshake.IsZero() || s.Peers[1].Endpoint != endpoint {
		t.Errorf("%+v, %v", s, err)
	}
	d.Handshake(want.Name, a, time.Unix(1, 0))
	set(a, first)
	if s, err := d.State(want.Name); err != nil || s.Peers[0].Endpoint != endpoint {
		t.Errorf("without a session: %+v, %v", s, err)
	}
	d.Kill(want.Name)
	<-d.Died()
	if s, err := d.State(want.Name); err != nil || s.Running || len(s.Peers) > 0 {
		t.Errorf("after its process has ended: %+v, %v", s, err)
	}
	if err := d.Remove(want.Name); err != nil {
		t.Error(err)
	}
	if _, err := d.State(want.Name); !errors.Is(err, wireguard.ErrNotFound) {
		t.Error(err)
	}
}
