package wggo

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// What wireguard-go says of itself is what it can be told, less what it has counted.
func TestSettable(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	got, sessions := settable(`private_key=aa
listen_port=51820
public_key=01
preshared_key=00
protocol_version=1
endpoint=198.18.0.1:51820
last_handshake_time_sec=999900
last_handshake_time_nsec=5
tx_bytes=1
rx_bytes=2
persistent_keepalive_interval=0
allowed_ip=10.0.0.1/32
public_key=02
last_handshake_time_sec=900000
last_handshake_time_nsec=0
public_key=03
last_handshake_time_sec=0
errno=0

`, now)
	want := `private_key=aa
listen_port=51820
public_key=01
preshared_key=00
protocol_version=1
endpoint=198.18.0.1:51820
persistent_keepalive_interval=0
allowed_ip=10.0.0.1/32
public_key=02
public_key=03
`
	if got != want || !slices.Equal(sessions, []string{"01"}) || strings.Contains(got, "errno") {
		t.Errorf("got %q\nsessions with %q", got, sessions)
	}
}
