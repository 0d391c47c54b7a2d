package bpfpath

import (
	"errors"
	"net/netip"
	"testing"

	"vxlan-driver/internal/kernel/fastpath"
	"vxlan-driver/internal/kernel/rtnl"
)

// withoutNFT is a namespace whose nftables cannot be reached.
type withoutNFT struct{ fastpath.Namespace }

var errNoNFT = errors.New("no nftables")

func (withoutNFT) Outbound(string, fastpath.Look) (have fastpath.OutboundTable, err error) {
	return have, errNoNFT
}

// While the path of nftables cannot be set, the programs follow: to where containers are now, and off where IPsec is
// about the packets. The error is reported.
func TestErrorOfPathBelow(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	links, err := rtnl.Open(a.path)
	if err != nil {
		t.Fatal(err)
	}
	defer links.Close()
	a.net.Redirector = fastpath.New(withoutNFT{fastpath.Namespace{Links: links}})
	index, err := a.net.ns.Index("vx.0")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := programsRemote{Vtep: toAddress(netip.MustParseAddr("198.18.0.9")), Peer: 1}
	put(t, a.programs.objects.Remotes, programsStation{Device: uint32(index), Mac: b.mac()}, elsewhere)
	if err := a.net.Set(a.want(b)); !errors.Is(err, errNoNFT) {
		t.Errorf("the error is %v", err)
	}
	if !takes(a, b) {
		t.Error("the programs send elsewhere")
	}
	a.sh("ip xfrm policy add src 198.18.0.1 dst 198.18.0.2 dir out tmpl proto esp mode transport")
	if err := a.net.Set(a.want(b)); !errors.Is(err, errNoNFT) {
		t.Errorf("the error is %v", err)
	}
	a.hasPins("")
}

// Somebody takes a container's port off the bridge. That is no error, and the programs leave the port.
func TestPortOffBridge(t *testing.T) {
	for name, script := range map[string]string{
		"on none": "ip link set c0 nomaster", "on another": "ip link add br1 type bridge; ip link set c0 master br1",
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t, underlay{})
			a.set(a.want(b))
			a.sh(script)
			if err := a.net.Set(a.want(b)); err != nil {
				t.Error(err)
			}
			if s := a.programs.State("vx.0"); s != (State{}) {
				t.Errorf("%+v", s)
			}
			a.hasPins("")
		})
	}
}
