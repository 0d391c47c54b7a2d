package gossiptest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab/labtest"
)

// What somebody takes away on a host is back within a second. The host's events say what it was, for
// how long it was gone and, as far as the kernel tells, who took it; so do those that another host
// asks for.
func TestEventsTellWhatWasRepaired(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	hosts := l.Hosts()
	for i, h := range hosts {
		createNetwork(t, h, "net", "--opt vni=100 --subnet 10.0.0.0/24")
		runContainer(t, h, fmt.Sprint("c", i), "net", "")
	}
	here, other := hosts[0], hosts[1]
	for _, what := range []string{"ready", "network net", "names c1", "host " + other.Name()} {
		labtest.Sh(t, here, "vxlanctl wait --timeout 20s "+what)
	}
	if out := labtest.Refused(t, here, "vxlanctl wait names nobody --timeout 300ms"); !strings.Contains(out, `wait: 300ms are over, and no network of this host has the name "nobody"`) {
		t.Errorf("wait for what does not come: %s", out)
	}
	if out := labtest.Sh(t, here, "vxlanctl events --kind repaired"); out != "" {
		t.Errorf("before anything was removed:\n%s", out)
	}
	labtest.Sh(t, other, "vxlanctl events -f --all --kind repaired >/tmp/followed 2>&1 </dev/null & echo $! >/tmp/follower")
	const gone, by = `gone for \d+(\.\d+)?m?s, `, `(removed by %s \(process \d+, started by \w+\)|by whom is unknown)`
	mac := strings.TrimSpace(labtest.Sh(t, other, "podman inspect c1 --format '{{.NetworkSettings.Networks.net.MacAddress}}'"))
	for _, tt := range []struct{ damage, want string }{
		{"nft flush ruleset", `repaired: firewall: rules were missing or altered and are back, ` + gone + fmt.Sprintf(by, "nft") + ` \[VX0501\]`},
		{"ip address delete 10.0.0.1/24 dev br-vxlan-net", `repaired: address 10\.0\.0\.1/24 of br-vxlan-net was missing and is back, ` + gone + fmt.Sprintf(by, "ip") + ` \[VX0408\]`},
		{"bridge fdb delete " + mac + " dev vxlan-net", `repaired: a forwarding entry of vxlan-net was missing or wrong and is set right, ` + gone + `by whom is unknown \[VX0403\]`},
		{"ip link delete vxlan-net", `repaired: device vxlan-net was missing and is back, ` + gone + `by whom is unknown \[VX0401\]`},
		{"sysctl -qw net.ipv4.ip_forward=0", `repaired: kernel parameter net\.ipv4\.ip_forward was altered and is set right, by whom is unknown \[VX0102\]`},
	} {
		labtest.Sh(t, here, tt.damage)
		labtest.Within(t, 10*time.Second, here, "vxlanctl events --kind repaired --since 12s | grep -P '^... .. ..:..:.. "+tt.want+"$'")
		labtest.Within(t, 5*time.Second, here, pingScript("c0", "c1"))
		time.Sleep(2 * time.Second) // a forwarding entry that was added a moment ago is the agent's own business
	}
	out := labtest.Sh(t, here, "vxlanctl events --kind repaired")
	t.Logf("events:\n%s", out)
	if n := strings.Count(out, "repaired: "); n != 5 { // what went with something else is part of that
		t.Errorf("%d repairs, want 5:\n%s", n, out)
	}
	all := labtest.Sh(t, other, "vxlanctl events --all --kind repaired")
	labtest.Within(t, 10*time.Second, other, `test "$(grep -c repaired: /tmp/followed)" = 5`)
	followed := labtest.Sh(t, other, "kill $(cat /tmp/follower); cat /tmp/followed")
	for _, got := range []string{all, followed} {
		if strings.Count(got, here.Name()+" (") != 5 || strings.ReplaceAll(got, fmt.Sprintf(" %s (%s)", here.Name(), here.Addr4()), "") != out {
			t.Errorf("on %s:\n%s", other.Name(), got)
		}
	}
	labtest.Sh(t, other, "podman rm -f -t0 c1")
	// Where memberlist is quicker than the host's own word, it is unreachable first.
	labtest.Within(t, 20*time.Second, here, "vxlanctl events | grep -E 'host-(left|forgotten): host "+other.Name()+" .* (left|is forgotten)'")
	if asked := labtest.Refused(t, here, "vxlanctl wait host "+other.Name()+" --timeout 100ms"); !strings.Contains(asked, "no host is called") {
		t.Errorf("a host that left: %s", asked)
	}
}
