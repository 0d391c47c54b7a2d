package rtnl

import (
	"encoding/binary"
	"testing"

	"vxlan-driver/internal/kernel"
)

// The fields are in the order of struct rtnl_link_stats64, which goes on with others.
func TestParseCounters(t *testing.T) {
	var b []byte
	for i := range uint64(24) {
		b = binary.NativeEndian.AppendUint64(b, i+1)
	}
	want := kernel.LinkCounters{
		ReceivedPackets: 1, SentPackets: 2, ReceivedBytes: 3, SentBytes: 4,
		ReceiveErrors: 5, SendErrors: 6, ReceiveDropped: 7, SendDropped: 8,
	}
	if got := parseCounters(b); got != want {
		t.Errorf("got %+v", got)
	}
	if got := parseCounters(b[:12]); got != (kernel.LinkCounters{ReceivedPackets: 1}) {
		t.Errorf("cut off: got %+v", got)
	}
}
