package network

import (
	"errors"
	"net/netip"
	"testing"
)

func TestOwnAddress(t *testing.T) {
	six := testHost
	six.default4 = ""
	six.default6 = "eth0"
	six.ifaces = testHost.ifaces[1:2]
	for _, tt := range []struct {
		name  string
		host  fakeHost
		known []string
		want  string
	}{
		{"it is listed", testHost, []string{"192.168.1.11", "192.168.1.110"}, "192.168.1.110"},
		{"it sends from another interface", testHost, []string{"198.18.0.11"}, "198.18.0.10"},
		{"one that it knows is away", testHost, []string{"fd00:1::11"}, "fd00:1::10"},
		{"it knows nobody", testHost, nil, "192.168.1.10"},
		{"only IPv6 leads away", six, nil, "fd00:1::10"},
		{"no way leads away", withoutDefault, nil, "invalid IP"},
	} {
		var known []netip.Addr
		for _, k := range tt.known {
			known = append(known, netip.MustParseAddr(k))
		}
		if got, err := OwnAddress(tt.host, known); err != nil || got.String() != tt.want {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
	broken := testHost
	broken.lookupErr = errors.New("boom")
	if _, err := OwnAddress(broken, nil); err == nil {
		t.Error("an error of the kernel's is lost")
	}
}
