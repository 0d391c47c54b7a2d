package netstack_test

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/kernel/netstack"
)

// Every rule that drops has a counter and a reason, and nft lists no other drop.
func TestEachDropIsCountedAndHasAReason(t *testing.T) {
	path := netnstest.New(t)
	if c, err := netstack.ReadCounters(path, nil); err != nil || len(c.Drops) > 0 {
		t.Errorf("without tables: %+v, %v", c, err)
	}
	setFirewall(t, path)
	c, err := netstack.ReadCounters(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range c.Drops {
		got = append(got, d.Comment)
		if d.Reason == "other" || strings.ToLower(d.Reason) != d.Reason || d.Packets != 0 {
			t.Errorf("rule %q of chain %s: %+v", d.Comment, d.Chain, d)
		}
	}
	listing := netnstest.Shell(t, path)("nft list ruleset")
	var want []string
	for line := range strings.Lines(listing) {
		rule, comment, _ := strings.Cut(strings.TrimSpace(line), ` comment "`)
		if strings.HasSuffix(rule, " drop") {
			want = append(want, strings.TrimSuffix(comment, `"`))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(want) < 20 || !slices.Equal(got, want) {
		t.Errorf("counted are\n%q\nand nft lists\n%q", got, want)
	}
}

// setFirewall sets a firewall that lets nobody send VXLAN of VNI 100.
func setFirewall(t *testing.T, path string) {
	t.Helper()
	ns, err := netstack.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	err = ns.Apply(kernel.SetFirewall{Elements: []kernel.Element{
		{Set: kernel.VXLANPorts, Key: kernel.Port(4789)},
		{Set: kernel.VNIs, Key: kernel.Concat(kernel.Port(4789), kernel.VNI(100))},
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// What a rule drops and what a device receives is counted, as nft and ip count it.
func TestCountersCount(t *testing.T) {
	path := netnstest.New(t)
	shell := netnstest.Shell(t, path)
	shell("ip link set lo up")
	setFirewall(t, path)
	const sent = 3
	err := netns.Do(path, func() error {
		conn, err := net.Dial("udp", "127.0.0.1:4789")
		if err != nil {
			return err
		}
		defer conn.Close()
		for range sent {
			// The header of a packet of VNI 100 (RFC 7348, section 5).
			if _, err := conn.Write([]byte{8, 0, 0, 0, 0, 0, 100, 0}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := netstack.ReadCounters(path, []string{"lo", "none"})
	if err != nil {
		t.Fatal(err)
	}
	dropped := make(map[string]uint64)
	for _, d := range c.Drops {
		dropped[d.Reason] += d.Packets
	}
	for reason, n := range dropped {
		if (reason == "not_a_member") != (n == sent) || reason != "not_a_member" && n != 0 {
			t.Errorf("%d packets were dropped: %s", n, reason)
		}
	}
	var links []struct {
		Stats64 struct {
			RX, TX struct{ Packets, Bytes, Errors, Dropped uint64 }
		}
	}
	if err := json.Unmarshal([]byte(shell("ip -s -j link show lo")), &links); err != nil {
		t.Fatal(err)
	}
	rx, tx := links[0].Stats64.RX, links[0].Stats64.TX
	want := kernel.LinkCounters{
		ReceivedBytes: rx.Bytes, ReceivedPackets: rx.Packets, ReceiveDropped: rx.Dropped, ReceiveErrors: rx.Errors,
		SentBytes: tx.Bytes, SentPackets: tx.Packets, SendDropped: tx.Dropped, SendErrors: tx.Errors,
	}
	if len(c.Links) != 1 || c.Links["lo"] != want || want.SentPackets < sent {
		t.Errorf("got %+v, want %+v", c.Links, want)
	}
}
