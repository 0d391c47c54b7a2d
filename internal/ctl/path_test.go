package ctl

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
)

func (h fakeHost) Namespace(networkID, containerID string) (string, error) {
	return "/ns/" + networkID + "/" + containerID, h.err
}

func TestFindPath(t *testing.T) {
	const a, b = "host-a (198.18.0.1)", "host-b (198.18.0.2)"
	onBlue := func(p Path) Path {
		p.Network, p.From, p.Src, p.Host, p.MTU, p.VNI, p.Port, p.Namespace = "blue", "web", addr("10.0.0.2"), a, 1450, 7, 4789, "/ns/7c7b/e0"
		return p
	}
	toDB := onBlue(Path{To: "db", Dst: addr("10.0.0.4"), ToHost: b, VTEP: addr("198.18.0.2")})
	toAddr := onBlue(Path{To: "10.0.0.6", Dst: addr("10.0.0.6"), RangeOf: b})
	toV6 := Path{Network: "red", From: "web", To: "fd00::9", Src: addr("fd00::2"), Dst: addr("fd00::9"), Host: a, MTU: 1450, VNI: 8, Port: 4789, Namespace: "/ns/8d8d/e0"}
	tests := []struct {
		from, to string
		want     Path
		fails    string
	}{
		{"web", "db", toDB, ""},
		{"", "db", toDB, ""},
		{"e0", "10.0.0.4", toDB, ""},
		{"web", "10.0.0.6", toAddr, ""},
		{"web", "10.0.0.13", onBlue(Path{To: "10.0.0.13", Dst: addr("10.0.0.13")}), ""},
		{"web", "10.0.0.1", onBlue(Path{To: "10.0.0.1", Dst: addr("10.0.0.1"), ToHost: a, SameHost: true}), ""},
		{"web", "10.0.0.3", onBlue(Path{To: "10.0.0.3", Dst: addr("10.0.0.3"), ToHost: a, SameHost: true}), ""},
		{"web", "10.0.0.7", onBlue(Path{To: "10.0.0.7", Dst: addr("10.0.0.7"), ToHost: b, VTEP: addr("198.18.0.2")}), ""},
		{"web", "fd00::9", toV6, ""},
		{"db", "web", Path{}, "container db is not on network blue of this host"},
		{"web", "nobody", Path{}, "network blue has no container nobody; network red has no container nobody"},
		{"web", "192.0.2.1", Path{}, "address 192.0.2.1 is in no subnet of network blue"},
		{"web", "soon", onBlue(Path{To: "soon", Dst: addr("10.0.0.5"), ToHost: b, VTEP: addr("198.18.0.2")}), ""},
		{"", "web", Path{}, "has no other container on this host to start from"},
	}
	for _, tt := range tests {
		got, err := findPath(fakeHost{}, tt.from, tt.to)
		if tt.fails != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("%s to %s: %v, want %s", tt.from, tt.to, err, tt.fails)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%s to %s: %v\n%+v, want\n%+v", tt.from, tt.to, err, got, tt.want)
		}
	}
	if _, err := findPath(fakeHost{err: agentapi.ErrNotRunning}, "web", "nobody"); err == nil || !strings.Contains(err.Error(), "vxland does not run") {
		t.Errorf("without an agent: %v", err)
	}
	if _, err := findPath(fakeHost{err: errors.New("boom")}, "web", "db"); err == nil || err.Error() != "boom" {
		t.Errorf("without an inventory: %v", err)
	}
}

func TestFindHostPath(t *testing.T) {
	want := Path{From: "this host", To: "host-b", Src: addr("198.18.0.1"), Dst: addr("198.18.0.2"), ToHost: "host-b (198.18.0.2)", VTEP: addr("198.18.0.2"), MTU: 1500}
	for _, name := range []string{"host-b", "198.18.0.2", "host-b (198.18.0.2)"} {
		if got, ok := findHostPath(fakeHost{}, name); !ok || got != want {
			t.Errorf("%s: %v %+v", name, ok, got)
		}
	}
	for _, name := range []string{"host-a", "web", "", "10.0.0.4"} {
		if got, ok := findHostPath(fakeHost{}, name); ok {
			t.Errorf("%q is host %+v", name, got)
		}
	}
}

func (h fakeHost) OpenEcho(Path) (Echoer, error) { return nil, errors.ErrUnsupported }

func (h fakeHost) SendProbe(Path, uint16, time.Duration) (time.Duration, error) {
	return 0, errors.ErrUnsupported
}

func (h fakeHost) TracePath(context.Context, Path, func()) (here, there []agentapi.TraceEvent, err error) {
	return nil, nil, errors.ErrUnsupported
}
