package foreignfilter

import (
	"testing"

	"vxlan-driver/internal/kernel"
)

// What another program decides (nft's queue) is not said to be dropped.
func TestQueueMayAccept(t *testing.T) {
	queue := kernel.FilterRule{{Op: kernel.StepVerdict, Verdict: kernel.FilterVerdict{Code: verdictQueue}}}
	for name, rules := range map[string][]kernel.FilterRule{"queue": {queue}, "nothing": nil} {
		filter := kernel.FilterTable{Family: kernel.FamilyInet, Name: "f", Chains: map[string]kernel.FilterChain{
			"in": {Hook: kernel.HookInput, PolicyDrop: true, Rules: rules},
		}}
		found := BlockingChains([]kernel.FilterTable{filter}, testHost, blue())
		if wantNone := name == "queue"; (len(found) == 0) != wantNone {
			t.Errorf("%s: found %v", name, found)
		}
	}
}
