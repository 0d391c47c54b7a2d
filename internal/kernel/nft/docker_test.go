package nft

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The rules come first in Docker's chain, iptables-nft lists them, and they go without a trace.
func TestDockerChain(t *testing.T) {
	c, sh := open(t)
	if err := c.AcceptInDocker("br-blue"); err != nil {
		t.Errorf("without Docker: %v", err)
	}
	if got := sh("nft list ruleset"); got != "" {
		t.Errorf("without Docker it made %s", got)
	}
	_, err := exec.LookPath("iptables-nft")
	hasIPTables := err == nil
	if hasIPTables {
		sh("iptables-nft -N DOCKER-USER; iptables-nft -A DOCKER-USER -j RETURN; ip6tables-nft -N DOCKER-USER")
	} else {
		sh("nft add table ip filter; nft add chain ip filter DOCKER-USER; nft add rule ip filter DOCKER-USER counter return; nft add table ip6 filter; nft add chain ip6 filter DOCKER-USER")
	}
	before := sh("nft list ruleset")
	accepted := func(want ...string) {
		t.Helper()
		all, err := c.AcceptedInDocker()
		var complete []string
		for _, bridge := range slices.Sorted(maps.Keys(all)) {
			if all[bridge] {
				complete = append(complete, bridge)
			}
		}
		if err != nil || !slices.Equal(complete, want) {
			t.Errorf("accepted %q (%v), want %q", complete, err, want)
		}
	}
	for range 2 {
		for _, bridge := range []string{"br-blue", "br-vxlan-ninety"} {
			if err := c.AcceptInDocker(bridge); err != nil {
				t.Fatal(err)
			}
		}
	}
	accepted("br-blue", "br-vxlan-ninety")
	for family, want := range map[string]int{"ip": 5, "ip6": 4} {
		listing := sh("nft list chain " + family + " filter DOCKER-USER")
		if n := strings.Count(listing, "counter"); n != want || strings.Index(listing, "return") > 0 && strings.Index(listing, "return") < strings.LastIndex(listing, "accept") {
			t.Errorf("%s has %d rules: %s", family, n, listing)
		}
	}
	if hasIPTables {
		for _, tool := range []string{"iptables-nft", "ip6tables-nft"} {
			got := sh(tool + " -S DOCKER-USER; " + tool + "-save")
			for _, want := range []string{"-i br-blue", "-o br-blue", "-i br-vxlan-ninety", "-o br-vxlan-ninety"} {
				if !strings.Contains(got, want+" -m comment --comment \"vxlan-driver: ") {
					t.Errorf("%s does not list %q:\n%s", tool, want, got)
				}
			}
			if strings.Contains(got, "incompatible") {
				t.Errorf("%s: %s", tool, got)
			}
		}
	}
	sh("nft delete rule ip6 filter DOCKER-USER handle $(nft -a list chain ip6 filter DOCKER-USER | grep 'oifname \"br-blue' | sed 's/.* //')")
	accepted("br-vxlan-ninety")
	sh("nft flush chain ip filter DOCKER-USER")
	accepted()
	for _, bridge := range []string{"br-blue", "br-vxlan-ninety"} {
		if err := c.AcceptInDocker(bridge); err != nil {
			t.Fatal(err)
		}
	}
	accepted("br-blue", "br-vxlan-ninety")
	for _, bridge := range []string{"br-blue", "br-vxlan-ninety", "br-blue"} {
		if err := c.ForgetInDocker(bridge); err != nil {
			t.Fatal(err)
		}
	}
	accepted()
	sh("nft add rule ip filter DOCKER-USER counter return")
	if after := sh("nft list ruleset"); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}
