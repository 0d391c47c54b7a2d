package gossip

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/cluster/gossip/guard"
	"vxlan-driver/internal/cluster/gossip/refusal"
)

// Who opens a connection and sends nothing looks whether the port can be reached. Nobody is refused by it.
func TestEmptyStreamIsNoRefusal(t *testing.T) {
	for _, label := range []string{"", "production"} {
		inVirtualTime(t, func(t *testing.T, n *memnet) {
			a := startHost(t, n, 1, func(c *Config) { c.Label, c.Keys, c.Seeds = label, nil, []netip.AddrPort{hostAddr(2)} })
			conn, err := n.transport(hostAddr(2)).DialTimeout(hostAddr(1).String(), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			time.Sleep(10 * time.Second)
			for _, r := range a.refusals.Refusals() {
				if r.Reason != string(refusal.ReasonNoAnswer) {
					t.Errorf("label %q: refused %+v", label, r)
				}
			}
		})
	}
}

// The kernel of a host accepts connections for an agent that hangs. Nobody is refused by it.
func TestHostThatHangsIsNoRefusal(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		hung := n.transport(hostAddr(2))
		a := startHost(t, n, 1, func(c *Config) { c.Seeds = []netip.AddrPort{hostAddr(2)} })
		ended := time.After(time.Minute)
		for done := false; !done; {
			select {
			case conn := <-hung.StreamCh():
				go func() {
					_, _ = io.Copy(io.Discard, conn)
					_ = conn.Close()
				}()
			case <-ended:
				done = true
			}
		}
		if got := a.refusalCounts(); got[refusal.ReasonNoAnswer] == 0 || len(got) != 1 {
			t.Errorf("counted %v\n%s", got, a.log.String())
		}
	})
}

func TestStreamsAreLimited(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a := startHost(t, n, 1)
		a.waitUntilSynced()
		evil := n.transport(hostAddr(3))
		var conns []net.Conn
		for range guard.MaxStreamsPerAddr + 5 {
			conn, err := evil.DialTimeout(hostAddr(1).String(), second)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		synctest.Wait()
		if n := a.refusalCounts()[refusal.ReasonOverload]; n != 5 {
			t.Errorf("refused %d streams", n)
		}
		// Each ends by itself, and then there is room again.
		time.Sleep(2 * guard.StreamTimeout)
		for _, conn := range conns {
			_ = conn.Close()
		}
		b := startHost(t, n, 2)
		b.announce("b")
		a.waitUntilSees(3*second, "host-2: b")
	})
}
