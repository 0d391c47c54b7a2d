package doctor

import (
	"fmt"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
)

// What part of the frames is lost, and where, is told from what passes.
func TestLossOfPath(t *testing.T) {
	sound := agentapi.SeriesCount{Sent: 40, Answered: 40}
	there := agentapi.SeriesCount{Sent: 80, Answered: 64, LostThere: 15, LostBack: 1}
	back := agentapi.SeriesCount{Sent: 80, Answered: 77, LostBack: 3}
	silent := agentapi.SeriesCount{Sent: 40, Answered: 30} // the other agent says no direction
	none := agentapi.SeriesCount{Sent: 80}
	series := func(full, small agentapi.SeriesCount) agentapi.PathStatus {
		return agentapi.PathStatus{Network: "blue", FullSize: 1450, MTU: 1450, Series: &agentapi.SeriesStatus{Full: full, Small: small}}
	}
	counted := func(sent, answered int) agentapi.PathStatus {
		return agentapi.PathStatus{Network: "blue", FullSize: 1450, MTU: 1450, Measured: time.Second, Full: agentapi.FrameCount{Sent: sent, Answered: answered}}
	}
	old := series(there, there)
	old.Series.Age = time.Hour
	for _, tt := range []struct {
		name string
		path agentapi.PathStatus
		want string // "": nothing
	}{
		{"sound", series(sound, agentapi.SeriesCount{}), ""},
		{"a single frame", series(agentapi.SeriesCount{Sent: 80, Answered: 79, LostThere: 1}, sound), ""},
		{"there", series(there, silent), "failure 16 of 80 frames to host b are lost on the way there"},
		{"back", series(back, back), "warning 3 of 80 frames to host b are lost on the way back"},
		{"somewhere", series(silent, silent), "failure 10 of 40 frames to host b are lost"},
		{"large ones", series(there, sound), "failure 16 of 80 frames of 1450 bytes to host b are lost, and no small one"},
		{"all large ones", series(none, sound), ""}, // see TunnelMTU
		{"all large ones and some small ones", series(none, back), "warning 3 of 80 frames to host b are lost on the way back"},
		{"all", series(none, none), ""}, // see TunnelBlocked
		{"counted", counted(10, 6), "warning 4 of 10 frames to host b were not answered in the last ten minutes"},
		{"counted too few", counted(4, 1), ""},
		{"counted few losses", counted(10, 9), ""},
		{"long ago", old, ""},
	} {
		f, lossy := fromPath("b", tt.path)
		if got := fmt.Sprint(f.Level, " ", f.Summary); lossy != (tt.want != "") || lossy && got != tt.want {
			t.Errorf("%s: %v, %s", tt.name, lossy, got)
		}
		if partial := isPartial(tt.path); partial != (lossy && tt.path.Series != nil) {
			t.Errorf("%s: partial %v", tt.name, partial)
		}
	}
}

// A path that loses a part is not said to be blocked, nor to have a small MTU, and the other host is
// asked for the cause.
func TestLossIsNoBlockade(t *testing.T) {
	f := healthy()
	half := agentapi.SeriesCount{Sent: 80, Answered: 20, LostThere: 50}
	f.Agent.Report.Networks = []agentapi.NetworkStatus{{Name: "blue", Tunnels: []agentapi.TunnelStatus{{Host: "host-a", Port: 4789, Size: 1450, Passing: 1400}}}}
	f.Agent.Report.Clusters = []agentapi.ClusterStatus{{Hosts: []agentapi.HostStatus{{Name: "host-a", Reachable: true, Paths: []agentapi.PathStatus{
		{Network: "blue", FullSize: 1450, Series: &agentapi.SeriesStatus{Full: half, Small: half}}}}}}}
	d := Diagnose(f)
	if len(d.Findings) != 1 || d.Findings[0].Code != "VX0304" || len(d.Suspects) != 1 {
		t.Errorf("found %+v, suspects %q", d.Findings, d.Suspects)
	}
}
