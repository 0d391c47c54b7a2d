package replica

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/cluster/gossip/refusal"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// fakeNetwork has two members, and records to whom messages are sent.
type fakeNetwork struct{ sentTo []wire.Key }

func (n *fakeNetwork) Members() []wire.Key        { return []wire.Key{wiretest.Host9, wiretest.HostA} }
func (n *fakeNetwork) Send(to wire.Key, _ []byte) { n.sentTo = append(n.sentTo, to) }
func (n *fakeNetwork) Format() uint8              { return wire.Supported.Min }

// A record that does not come is requested again, from the owner and from others.
func TestRequestIsRetriedInTurn(t *testing.T) {
	network := new(fakeNetwork)
	r := New(Config{
		Self: wiretest.HostB, Name: func() string { return "b" }, ForgetAfter: time.Hour,
		Permits: func(netip.Addr) bool { return true }, Refusals: refusal.NewCounter(slog.New(slog.DiscardHandler)), Network: network, NewRecord: wire.NewRecord,
	})
	r.MarkPresent(wiretest.Host9)
	now := time.Now()
	d := wire.Digest{Key: wiretest.Host9, Version: wire.Version{Incarnation: 1, Sequence: 1}}
	if !r.requests.start(d, false, now) || r.requests.start(d, false, now.Add(fewRequestsExpire/2)) {
		t.Error("requested twice at once")
	}
	r.Retry(now.Add(fewRequestsExpire / 2))
	if len(network.sentTo) != 0 {
		t.Error("requested again too early")
	}
	for try := range maxTries + 2 {
		r.Retry(now.Add(time.Duration(try+1) * 2 * requestTimeout))
	}
	if asked := network.sentTo; len(asked) != maxTries || asked[1] != wiretest.Host9 || asked[3] != wiretest.Host9 {
		t.Errorf("asked %v", asked)
	}
	if len(r.requests.byHost) != 0 {
		t.Error("the request is still pending")
	}
}
