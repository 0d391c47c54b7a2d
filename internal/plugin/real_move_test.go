package plugin

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/netavark"
)

// An address that moves to another host is found there at once: a third host that has learned the
// old place hears of the new one from the container's start.
func TestRealAddressThatMovesIsFoundAtOnce(t *testing.T) {
	t.Run("as it comes", func(t *testing.T) { testMove(t, 0) })
	// The kernel notes up to a second later that a veth has no other end yet (linkwatch), and the
	// bridge then takes nothing from it; so did the first announcement get lost at times.
	t.Run("where the bridge has seen the port without carrier", func(t *testing.T) { testMove(t, 1100*time.Millisecond) })
}

// slowPorts waits after a container's port has come up.
type slowPorts struct {
	hoststate.Namespace
	wait time.Duration
}

func (s slowPorts) Apply(c kernel.Change) error {
	err := s.Namespace.Apply(c)
	if up, ok := c.(kernel.SetUp); ok && strings.HasPrefix(up.Name, "veth") {
		time.Sleep(s.wait)
	}
	return err
}

func testMove(t *testing.T, wait time.Duration) {
	a, b := newRealHosts(t)
	for _, h := range []realHost{a, b} {
		open := h.Open
		h.Open = func(path string) (hoststate.Namespace, error) {
			ns, err := open(path)
			return slowPorts{ns, wait}, err
		}
	}
	// IPv6 has more to say when the carrier comes, by which a container would be found too.
	request := func(local string, i int) (string, netavark.Request) {
		ns, r := realRequest(t, local, i)
		runShell(t, ns, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
		six := regexp.MustCompile(`, *(\{"subnet": *"fd00[^}]*\}|"fd00[^"]*")`)
		r.Network, r.Options = six.ReplaceAll(r.Network, nil), six.ReplaceAll(r.Options, nil)
		r.Network = bytes.Replace(r.Network, []byte(`"ipv6_enabled": true`), []byte(`"ipv6_enabled": false`), 1)
		return ns, r
	}
	nsPeer, rPeer := request("198.18.0.11", 1)
	nsOld, rOld := request("198.18.0.10", 2)
	for _, err := range []error{errorOf(b.Setup(nsPeer, rPeer)), errorOf(a.Setup(nsOld, rOld))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	runShell(t, nsPeer, "ping -c 1 -W 2 10.0.0.3")
	// From host a to host b itself, and back: the peer's bridge knows the MAC on its tunnel, then
	// on a port.
	for _, move := range []struct{ from, to realHost }{{a, b}, {b, a}} {
		if err := move.from.Teardown(nsOld, rOld); err != nil {
			t.Fatal(err)
		}
		local := map[string]string{a.ns: "198.18.0.10", b.ns: "198.18.0.11"}[move.to.ns]
		nsOld, rOld = request(local, 2)
		if _, err := move.to.Setup(nsOld, rOld); err != nil {
			t.Fatal(err)
		}
		runShell(t, nsPeer, "ping -c 1 -W 1 10.0.0.3")
	}
}
