package soaktest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// permanentChanges is what the first network on a host leaves there for good, and why.
var permanentChanges = []struct{ line, why string }{
	{`^[-+] kernel parameters: /proc/sys/net/ipv4/(ip_forward|conf/(all|default|eth0|lo)/forwarding):`, "other networks may need it by now, as after netavark's own"},
	{`^[-+] kernel parameters: /proc/sys/net/ipv6/conf/(all|default|eth0|lo)/forwarding:`, "the same"},
	{`^[-+] kernel parameters: /proc/sys/net/ipv4/conf/all/accept_redirects:`, "the kernel's own doing: a router takes no redirects"},
	{`^\+ host: anycast \S+ dev eth0 table local proto kernel`, "the same: a router answers for its subnets (RFC 4291, section 2.6.1)"},
	{`^\+ files: /run/vxlan(/networks)? d 700$`, "the store; its lock file must not be removed while others wait for it"},
	{`^\+ files: /run/vxlan/vxland\.lock f 600$`, "the agent's lock, likewise"},
	{`^\+ files: /run/vxlan/vxland\.log f 600$`, "what the agent said, for who wants to know why it ended"},
	{`^\+ files: /run/vxlan/vxland\.log:`, "the same"},
}

// A thousand cycles run in four rounds with networks of their own, so a leak shows in the round
// where it happened.
const (
	rounds = 4
	cycles = 250
)

func TestThousandCyclesLeaveNothing(t *testing.T) {
	seed := rand.Uint64N(1_000_000)
	if given := os.Getenv("VXLAN_SOAK_SEED"); given != "" {
		n, err := strconv.ParseUint(given, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	l := labtest.Start(t, lab.Config{Hosts: 1, Binaries: []string{labtest.Tool(t, "soak"), labtest.Binary(t, "vxlanctl")}})
	a := l.Host("host-a")
	labtest.Sh(t, a, "ip netns add first && ip netns del first") // makes /run/netns a mount
	before := labtest.Snapshot(t, a)
	for round := range uint64(rounds) {
		t.Logf("round %d: VXLAN_SOAK_SEED=%d", round+1, seed+round)
		out, err := a.Sh(t.Context(), fmt.Sprintf("soak -seed %d -cycles %d 2>&1", seed+round, cycles))
		if err != nil {
			t.Errorf("%v", err)
		}
		t.Log(out)
		labtest.Sh(t, a, "vxlanctl reload") // drops abandoned containers where no agent did
		labtest.AgentEnds(t, a)
		if log := labtest.Sh(t, a, "grep -e ERROR -e panic -e '^goroutine' /run/vxlan/vxland.log | grep -v 'the agent crashed.*signal: killed' || true"); log != "" {
			t.Errorf("the agent says\n%s", log)
		}
		after := labtest.Snapshot(t, a)
		if changes := unexpectedChanges(labtest.Changes(before, after)); changes != "" {
			t.Fatalf("round with VXLAN_SOAK_SEED=%d changed the host:\n%s", seed+round, changes)
		}
	}
}

// unexpectedChanges leaves out what may stay.
func unexpectedChanges(changes string) string {
	var left strings.Builder
	for line := range strings.Lines(changes) {
		expected := false
		for _, s := range permanentChanges {
			expected = expected || regexp.MustCompile(s.line).MatchString(strings.TrimSpace(line))
		}
		if !expected {
			left.WriteString(line)
		}
	}
	return left.String()
}
