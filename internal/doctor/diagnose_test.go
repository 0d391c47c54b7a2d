package doctor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
)

// Causes on another host come first, and its symptoms do not come at all.
func TestCausesOfOtherHosts(t *testing.T) {
	f := healthy()
	f.Agent.Report.Networks = []agentapi.NetworkStatus{{Name: "blue",
		Tunnels: []agentapi.TunnelStatus{{Host: "host-a", Port: 4789, Size: 1450}}}}
	d := Diagnose(f)
	if !slices.Equal(d.Suspects, []string{"host-a"}) {
		t.Errorf("suspects %v", d.Suspects)
	}
	other := Diagnosis{Hosts: []string{"host-a"}, Findings: []diagnosis.Finding{
		{Code: diagnosis.TunnelBlocked, Level: diagnosis.Failure, Host: "host-a", Summary: "lost"},
		{Code: diagnosis.ForeignDrop, Level: diagnosis.Failure, Host: "host-a", Summary: "drops"},
		{Code: diagnosis.FactUnknown, Level: diagnosis.Unknown, Host: "host-a", Summary: "unknown"},
		{Code: diagnosis.PodmanVersion, Level: diagnosis.Warning, Host: "host-a", Summary: "old"},
	}}
	other.Possible = []diagnosis.Finding{{Code: diagnosis.ForeignRule, Level: diagnosis.Warning, Host: "host-a",
		Summary: "may drop"}}
	both := d.WithCausesOf(other)
	if i := slices.IndexFunc(both.Findings,
		func(f diagnosis.Finding) bool { return f.Code == diagnosis.ForeignRule }); i != 1 {
		t.Errorf("what may drop is number %d of %+v", i, both.Findings)
	}
	both.Findings = slices.Delete(both.Findings, 1, 2)
	if len(both.Findings) != 2 || both.Findings[0].Host != "host-a" || both.Findings[1].Host != "host-b" ||
		both.Level != diagnosis.Failure {
		t.Errorf("found %+v", both.Findings)
	}
	all := Join(d, other, Unreachable("host-c", "timeout"))
	if len(all.Findings) != 6 || len(all.Hosts) != 3 || all.Findings[0].Code != diagnosis.ForeignDrop ||
		all.Findings[5].Level != diagnosis.Unknown {
		t.Errorf("found %+v", all)
	}
	if red := all.OfNetwork("red"); slices.ContainsFunc(red.Findings,
		func(f diagnosis.Finding) bool { return f.Network == "blue" }) {
		t.Errorf("found %+v", red)
	}
}

// The time that the question and the answer took does not count.
func TestClockSkew(t *testing.T) {
	asked := time.Unix(1_000_000, 0)
	answered := asked.Add(20 * time.Second)
	for at, want := range map[time.Time]string{
		asked: "", answered: "", asked.Add(-20 * time.Second): "", answered.Add(20 * time.Second): "",
		asked.Add(-time.Hour): "1h0m0s", answered.Add(time.Minute): "1m0s",
	} {
		d := Diagnosis{Hosts: []string{"host-c"}, Clock: at.UnixNano()}.WithClock(asked, answered)
		if found := len(d.Findings) == 1 && strings.HasSuffix(d.Findings[0].Summary, want) &&
			d.Level == diagnosis.Warning; found != (want != "") {
			t.Errorf("at %v: %+v", at, d)
		}
	}
	if d := (Diagnosis{Hosts: []string{"old"}}).WithClock(asked, answered); len(d.Findings) > 0 {
		t.Errorf("a host that does not say: %+v", d)
	}
}
