package refusal

import (
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func addr(n int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}) }

func TestRefusalsNameHostsSinceWhenAndHowOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCounter(slog.New(slog.DiscardHandler))
		began := time.Now()
		c.AddFrom(ReasonUnlisted, addr(9), "")
		time.Sleep(time.Minute)
		c.AddFrom(ReasonUnlisted, addr(9), "")
		c.AddFrom(ReasonUnlisted, addr(3), "")
		c.Add(ReasonUnlisted, "")
		got := c.Refusals()
		if len(got) != 1 || got[0].Count != 4 || len(got[0].Hosts) != 2 {
			t.Fatalf("got %+v", got)
		}
		if h := got[0].Hosts[1]; h.Addr != addr(9) || h.Count != 2 || h.First != began || h.Last != began.Add(time.Minute) {
			t.Errorf("got %+v", h)
		}
		c.Forget(addr(9))
		if got := c.Refusals(); got[0].Count != 2 || len(got[0].Hosts) != 1 {
			t.Errorf("after it joined: %+v", got)
		}
	})
}

// Forged addresses use neither memory nor all places for ever.
func TestRefusedHostsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCounter(slog.New(slog.DiscardHandler))
		for i := range 1000 {
			c.AddFrom(ReasonUnlisted, addr(i), "")
		}
		if r := c.Refusals()[0]; r.Count != 1000 || len(r.Hosts) != maxHosts {
			t.Errorf("%d refusals of %d hosts", r.Count, len(r.Hosts))
		}
		time.Sleep(2 * quietHost)
		c.AddFrom(ReasonUnlisted, addr(2000), "")
		if r := c.Refusals()[0]; len(r.Hosts) != 1 || r.Hosts[0].Addr != addr(2000) {
			t.Errorf("got %+v", r)
		}
	})
}

func TestSenderIn(t *testing.T) {
	for text, want := range map[string]netip.Addr{
		"Decrypt packet failed: x from=198.18.0.9:7947": addr(9),
		"failed from=[::ffff:198.18.0.9]:1 later":       addr(9),
		"from=<unknown address>":                        {},
		"nothing":                                       {},
	} {
		if got := SenderIn(text); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}
