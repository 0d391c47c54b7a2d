package wire_test

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// TestGoldenBytes holds the format. The files are what hosts of released versions send and expect,
// so they are never changed; a new kind, section or field gets a file of its own. Each file has hex
// digits, and comments from "#" on. docs/design/gossip-format.md explains them.
func TestGoldenBytes(t *testing.T) {
	granted := wiretest.Membership(wiretest.Sender.Addr())
	granted.Endpoints = []cluster.Endpoint{{ContainerID: "c", Addrs: []netip.Addr{netip.MustParseAddr("10.0.9.2")}, Granted: true}}
	requested := wiretest.Membership(wiretest.Sender.Addr())
	requested.Endpoints = []cluster.Endpoint{{ContainerID: "c", Names: []string{"a"}, Requested: true}}
	encrypted := wiretest.Membership(wiretest.Sender.Addr())
	encrypted.Keys = wiretest.Keys()
	later := wiretest.WithUnknown(wiretest.Record("a"))
	header := wire.Message{Format: 1, From: wiretest.Host9}
	message := func(m wire.Message) wire.Message {
		m.Format, m.From = header.Format, header.From
		return m
	}
	records := func(r wire.Record, age wire.Age) wire.Message {
		return message(wire.Message{Kind: wire.KindRecords, Records: []wire.AgedRecord{{Record: r, Age: age}}})
	}
	recordOfHost9 := func(m cluster.Membership) wire.Record {
		return wiretest.Versioned(wire.NewRecord(wiretest.Host9, "host-9", []cluster.Membership{m}), 1)
	}
	digest := wire.Digest{Key: wiretest.HostA, Version: wire.Version{Incarnation: 1, Sequence: 300, Checksum: wire.Checksum{1, 2, 3, 4, 5, 6, 7, 8}}, Age: 3600e9}
	tests := map[string]wire.Message{
		"digests":     message(wire.Message{Kind: wire.KindDigests, Complete: true, Digests: []wire.Digest{digest}}),
		"request":     message(wire.Message{Kind: wire.KindRequest, Hosts: []wire.Key{wiretest.HostA, wiretest.HostB}}),
		"record":      records(wiretest.WithView(wiretest.Record("a")), 0),
		"left":        records(wiretest.Versioned(wire.NewLeftRecord(wiretest.HostA), 1), 1e9),
		"later":       records(later, 0),
		"encrypted":   records(recordOfHost9(encrypted), 0),
		"delta":       message(wire.Message{Kind: wire.KindDelta, Delta: wire.Diff(wiretest.Record("a"), wiretest.Versioned(wiretest.Record("a", "b"), 301))}),
		"ackrequest":  message(wire.Message{Kind: wire.KindAckRequest, Version: digest.Version}),
		"ack":         message(wire.Message{Kind: wire.KindAck, Version: digest.Version}),
		"hello":       message(wire.Message{Kind: wire.KindHello}),
		"helloreply":  message(wire.Message{Kind: wire.KindHelloReply}),
		"claim":       message(wire.Message{Kind: wire.KindClaim, Version: digest.Version}),
		"claimanswer": message(wire.Message{Kind: wire.KindClaimAnswer, Version: digest.Version, Digests: []wire.Digest{digest}}),
		"question":    message(wire.Message{Kind: wire.KindQuestion, Number: 300, Data: []byte("who?")}),
		"answer":      message(wire.Message{Kind: wire.KindAnswer, Number: 300, Data: []byte("host-9")}),
		"refusal":     message(wire.Message{Kind: wire.KindAnswer, Number: 300, Refusal: "busy"}),
		"ownanswer":   message(wire.Message{Kind: wire.KindClaimAnswer, Version: digest.Version, OwnAnswer: wiretest.OwnAnswer()}),
		"granted":     records(recordOfHost9(granted), 0),
		"requested":   records(recordOfHost9(requested), 0),
		"summary":     message(wire.Message{Kind: wire.KindSummary, Hash: 1<<64 - 1}),
		"forgotten":   records(wiretest.Versioned(wire.NewForgottenRecord(wiretest.HostA, "host-9"), 2), 1e9),
	}
	for name, m := range tests {
		t.Run(name, func(t *testing.T) {
			want := readHex(t, name)
			if got := m.Encode(); !bytes.Equal(got, want) {
				t.Errorf("got\n%x\nwant\n%x", got, want)
			}
			got, err := wire.Decode(want, wire.Supported)
			if err != nil || !reflect.DeepEqual(got, m) {
				t.Errorf("decoded %+v, %v\nwant %+v", got, err, m)
			}
		})
	}
	if files, err := filepath.Glob("testdata/*.hex"); err != nil || len(files) != len(tests) {
		t.Errorf("%d files, %v", len(files), err)
	}
}

func readHex(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	data, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return data
}
