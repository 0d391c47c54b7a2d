package nft

import (
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// A queue decides on a packet. Of what is not known, no more is known than that it may not match.
func TestFilterSteps(t *testing.T) {
	for name, want := range map[string]kernel.FilterStep{
		"queue":           {Op: kernel.StepVerdict, Verdict: kernel.FilterVerdict{Code: 3}},
		"counter":         {Op: kernel.StepNothing},
		"from the future": {Op: kernel.StepUnknown},
	} {
		var b netlink.Builder
		newExpr(name, func(*netlink.Builder) {})(&b)
		got := parseFilterRule(b.Data())
		if len(got) != 1 || got[0].Op != want.Op || got[0].Verdict != want.Verdict {
			t.Errorf("%s is %+v, want %+v", name, got, want)
		}
	}
}
