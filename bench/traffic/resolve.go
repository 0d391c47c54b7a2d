package traffic

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Resolve asks a name server, at an address, for a name until it knows it, and returns when that
// was.
func Resolve(server, name string, patience time.Duration) (time.Time, error) {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, net.JoinHostPort(server, "53"))
	}}
	const pause, timeout = 2 * time.Millisecond, 200 * time.Millisecond
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		_, err := r.LookupNetIP(ctx, "ip4", name+".")
		cancel()
		now := time.Now()
		if err == nil {
			return now, nil
		}
		if now.After(end) {
			return now, fmt.Errorf("resolve %s at %s: %w", name, server, err)
		}
	}
}
