package doctortest

import (
	"os/exec"
	"regexp"
	"strconv"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// watchPlaintext counts the packets between the hosts that are not encrypted: VXLAN packets, and those of containers.
// The returned function ends that, and returns the number and the rules that have counted.
func watchPlaintext(t *testing.T, l *lab.Lab) (stop func() (packets int, rules string)) {
	t.Helper()
	between(t, l, `nft add table bridge plaintext
		nft 'add chain bridge plaintext c { type filter hook forward priority -1; }'
		for what in 'udp dport 4789' 'ip saddr 10.3.0.0/16' 'ip daddr 10.3.0.0/16'; do
			nft add rule bridge plaintext c $what counter
		done`)
	return func() (packets int, rules string) {
		const list = "nft list table bridge plaintext && nft delete table bridge plaintext"
		out, err := exec.CommandContext(t.Context(), "nsenter", "--net="+l.UnderlayNetns(), "sh", "-ec", list).Output()
		if err != nil {
			t.Fatal(err)
		}
		counters := regexp.MustCompile(`counter packets (\d+)`).FindAllSubmatch(out, -1)
		if len(counters) == 0 {
			t.Fatalf("no counters in %s", out)
		}
		for _, c := range counters {
			n, err := strconv.Atoi(string(c[1]))
			if err != nil {
				t.Fatal(err)
			}
			packets += n
		}
		return packets, string(out)
	}
}

// withoutPlaintext runs a test during which nothing may pass between the hosts that is not encrypted.
func withoutPlaintext(t *testing.T, l *lab.Lab, test func()) {
	t.Helper()
	stop := watchPlaintext(t, l)
	test()
	if n, rules := stop(); n > 0 {
		t.Errorf("%d packets passed between the hosts in plaintext:\n%s", n, rules)
	}
}

// That counters count is tried: a host sends what a VXLAN packet would be.
func testPlaintextIsSeen(t *testing.T, l *lab.Lab) {
	stop := watchPlaintext(t, l)
	labtest.Sh(t, l.Host("host-b"), "bash -c 'echo plain >/dev/udp/198.18.0.11/4789'")
	if n, rules := stop(); n != 1 {
		t.Errorf("%d packets in plaintext were counted, want 1:\n%s", n, rules)
	}
}
