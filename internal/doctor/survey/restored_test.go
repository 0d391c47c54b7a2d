package survey

import (
	"maps"
	"testing"

	"vxlan-driver/internal/agentapi"
)

// What was wrong at the first look counts if it was repaired before the second, and not if it was
// only late.
func TestRestoredEntriesAreKept(t *testing.T) {
	drifted := &agentapi.DriftedEntries{MACs: []string{"02:00:00:00:00:01"}}
	look := func(repairs uint64, blue, red *agentapi.DriftedEntries) agentapi.StatusReport {
		return agentapi.StatusReport{
			Repairs:  map[string]uint64{"forwarding": repairs},
			Networks: []agentapi.NetworkStatus{{Name: "blue", Drifted: blue}, {Name: "red", Drifted: red}},
		}
	}
	for name, tt := range map[string]struct {
		first, second agentapi.StatusReport
		want          map[string]bool
	}{
		"repaired":                     {look(2, drifted, nil), look(3, nil, nil), map[string]bool{"blue": true}},
		"only late":                    {look(2, drifted, nil), look(2, nil, nil), nil},
		"still wrong":                  {look(2, drifted, nil), look(3, drifted, nil), nil},
		"one repaired, one wrong":      {look(2, drifted, drifted), look(3, nil, drifted), map[string]bool{"blue": true}},
		"another agent, counting anew": {look(2, drifted, nil), look(0, nil, nil), nil},
	} {
		second := tt.second
		got := keepRestored(&second, tt.first)
		if !maps.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
		if tt.want["blue"] && second.Networks[0].Drifted != drifted {
			t.Errorf("%s: what drifted is lost", name)
		}
	}
}
