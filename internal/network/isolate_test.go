package network

import "testing"

// Without the option a network gets what a bridge gets on the host. That is strict isolation from
// netavark 2 on, which passes on the time of creation.
func TestIsolationFollowsNetavark(t *testing.T) {
	const created = "2026-11-29T03:00:00Z"
	for _, test := range []struct {
		name         string
		created      any
		options      map[string]string
		want, bridge Isolation
	}{
		{"netavark 1", nil, nil, IsolateOff, IsolateOff},
		{"netavark 1, strict", nil, map[string]string{"isolate": "strict"}, IsolateStrict, IsolateOff},
		{"netavark 2", created, nil, IsolateStrict, IsolateStrict},
		{"netavark 2, off", created, map[string]string{"isolate": "false"}, IsolateOff, IsolateStrict},
		{"netavark 2, on", created, map[string]string{"isolate": "true"}, IsolateOn, IsolateStrict},
		{"netavark 2, in a VRF", created, map[string]string{"vrf": "red"}, IsolateOff, IsolateStrict},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, err := ParseStored(exampleNetwork(test.options, map[string]any{"created": test.created}))
			if err != nil {
				t.Fatal(err)
			}
			if n.Isolate != test.want || n.BridgeIsolation != test.bridge {
				t.Errorf("got %v, and %v for bridges; want %v, %v", n.Isolate, n.BridgeIsolation, test.want, test.bridge)
			}
		})
	}
}
