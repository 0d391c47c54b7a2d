package encryptiontest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// rule is a firewall rule that counts what it drops.
type rule struct {
	host    *lab.Host
	family  string // inet or bridge
	chain   string
	comment string
}

// dropCount returns how many packets the rule has dropped.
func (r rule) dropCount(t *testing.T) int {
	t.Helper()
	out := labtest.Sh(t, r.host, fmt.Sprintf("nft list chain %s vxlan-driver %s", r.family, r.chain))
	comment := fmt.Sprintf("comment %q", r.comment)
	for line := range strings.Lines(out) {
		if _, counted, ok := strings.Cut(line, "counter packets "); ok && strings.Contains(line, comment) {
			n, err := strconv.Atoi(strings.Fields(counted)[0])
			checkErr(t, err)
			return n
		}
	}
	t.Fatalf("%s has no rule %q in chain %s that counts:\n%s", r.host.Name(), r.comment, r.chain, out)
	return 0
}

// awaitDrop waits until the rule has dropped more than before.
func (r rule) awaitDrop(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Second); r.dropCount(t) == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("the rule %q dropped nothing", r.comment)
			return
		}
	}
}

// checkDefence proves that the rule alone stops an attack: the attack fails with it and the rule counts it, and
// succeeds without. Meanwhile the agent, which would restore the rule, stands still.
func checkDefence(t *testing.T, r rule, attack func(), succeeded func(within time.Duration) bool) {
	t.Helper()
	before := r.dropCount(t)
	attack()
	r.awaitDrop(t, before)
	// A dropped packet never arrives. Wait for one that took another way.
	if succeeded(100 * time.Millisecond) {
		t.Errorf("the attack succeeds in spite of the rule %q", r.comment)
	}
	labtest.Sh(t, r.host, labtest.FreezeAgent+fmt.Sprintf("; nft flush chain %s vxlan-driver %s", r.family, r.chain))
	defer labtest.Sh(t, r.host, "vxlanctl reload")
	defer labtest.Sh(t, r.host, labtest.ThawAgent)
	attack()
	if !succeeded(3 * time.Second) {
		t.Errorf("the attack does not succeed without the rule %q either, so this test proves nothing", r.comment)
	}
}
