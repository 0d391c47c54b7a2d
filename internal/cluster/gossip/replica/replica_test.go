package replica

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/cluster/gossip/refusal"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// fakeNetwork has two members, and records to whom messages are sent.
type fakeNetwork struct{ sentTo []string }

func (n *fakeNetwork) Members() []Peer        { return []Peer{{Host: "owner"}, {Host: "other"}} }
func (n *fakeNetwork) Send(to Peer, _ []byte) { n.sentTo = append(n.sentTo, to.Host) }
func (n *fakeNetwork) Gossip(string, []byte)  {}
func (n *fakeNetwork) Format() uint8          { return wire.Supported.Min }

// A record that does not come is requested again, from the owner and from others.
func TestRequestIsRetriedInTurn(t *testing.T) {
	network := new(fakeNetwork)
	r := New(Config{
		Self: Peer{Host: "a", Addr: netip.MustParseAddrPort("198.18.0.1:7947")}, ForgetAfter: time.Hour,
		Permits: func(netip.Addr) bool { return true }, Refusals: refusal.NewCounter(slog.New(slog.DiscardHandler)), Network: network, NewRecord: wire.NewRecord,
	})
	now := time.Now()
	d := wire.Digest{Host: "owner", Version: wire.Version{Incarnation: 1, Sequence: 1}}
	if !r.requests.start(d, now) || r.requests.start(d, now.Add(fewRequestsExpire/2)) {
		t.Error("requested twice at once")
	}
	r.RetryRequests(now.Add(fewRequestsExpire / 2))
	if len(network.sentTo) != 0 {
		t.Error("requested again too early")
	}
	for try := range maxTries + 2 {
		r.RetryRequests(now.Add(time.Duration(try+1) * 2 * requestTimeout))
	}
	if asked := network.sentTo; len(asked) != maxTries || asked[1] != "owner" || asked[3] != "owner" {
		t.Errorf("asked %v", asked)
	}
	if len(r.requests) != 0 {
		t.Error("the request is still pending")
	}
}
