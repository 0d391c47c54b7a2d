package doctor

import (
	"slices"
	"testing"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
)

// Where packets of a lost tunnel were seen tells on which host they are lost.
func TestTrafficOfLostTunnel(t *testing.T) {
	peer, own, stranger := addr("198.18.0.11"), addr("198.18.0.12"), addr("203.0.113.9")
	out := Stream{From: own, To: peer, Port: 4789, VNI: 7, Out: true, Count: 4}
	in := Stream{From: peer, To: own, Port: 4789, VNI: 7, Count: 2}
	other := Stream{From: stranger, To: own, Port: 4789, VNI: 8, Count: 2} // another network's
	translated := Stream{From: stranger, To: own, Port: 4789, VNI: 7, Count: 3}
	const unanswered = "frames of 1450 bytes and small ones were sent to it, and none was answered"
	for name, tt := range map[string]struct {
		traffic []Stream
		first   diagnosis.Code
		seen    []string
	}{
		"nobody listened": {nil, diagnosis.TunnelBlocked, []string{unanswered}},
		"dropped here": {[]Stream{in}, diagnosis.TunnelBlocked,
			[]string{unanswered, "no packet to it left by eth0: they are dropped on host host-b",
				"2 of its packets came to eth0, and none to vxlan-blue: they are dropped on host host-b"}},
		"dropped there": {[]Stream{out, other}, diagnosis.TunnelBlocked,
			[]string{unanswered, "4 of this host's packets to it left by eth0",
				"none of its packets came to eth0: they are dropped there or on the way"}},
		"translated there": {[]Stream{out, translated}, diagnosis.TunnelNAT,
			[]string{"3 of them came to eth0, and are dropped", "nothing passes to host-a (198.18.0.11)"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := healthy()
			f.Traffic, f.BothProbed = tt.traffic, true
			f.Agent.Report.Networks = []agentapi.NetworkStatus{{Name: "blue",
				Tunnels: []agentapi.TunnelStatus{{Host: "host-a (198.18.0.11)", Port: 4789, Size: 1450}}}}
			first := Diagnose(f).Findings[0]
			if first.Code != tt.first || !slices.Equal(first.Evidence, tt.seen) {
				t.Errorf("%s, seen %q", first.Code, first.Evidence)
			}
		})
	}
}
