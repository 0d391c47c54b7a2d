package nft

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netnstest"
)

// open returns a connection to a namespace of the test's own, and a shell in it.
func open(t testing.TB) (*Conn, func(script string) string) {
	t.Helper()
	ns := netnstest.New(t)
	c, err := Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, netnstest.Shell(t, ns)
}

func apply(t testing.TB, c *Conn, ch kernel.Change) {
	t.Helper()
	if err := c.Apply(ch); err != nil {
		t.Fatal(err)
	}
}

var (
	ip4 = kernel.IP(netip.MustParseAddr("10.0.0.2"))
	ip6 = kernel.IP(netip.MustParseAddr("fd00:10::2"))
	br  = kernel.Device("br-vxlan-blue")
	tcp = kernel.Protocol(6)
)

func subnet(s string) kernel.Datum { return kernel.Subnet(netip.MustParsePrefix(s)) }

var (
	networkMark   = kernel.Element{Set: kernel.Bridges, Key: br, Comment: "network blue"}
	publishedPort = kernel.Element{Set: kernel.Ports4, Key: kernel.Concat(tcp, kernel.Port(8080)), Value: kernel.Concat(ip4, kernel.Port(80))}
)

// sample has elements of all sets, which print as nft lists them.
var sample = []kernel.Element{
	networkMark,
	{Set: kernel.SameBridge, Key: kernel.Concat(br, br)},
	{Set: kernel.PodmanBridges, Key: br},
	{Set: kernel.Isolated, Key: br},
	{Set: kernel.IsolatedStrict, Key: br},
	{Set: kernel.Internal, Key: br},
	{Set: kernel.Underlays, Key: kernel.Device("eth0")},
	{Set: kernel.VXLANPorts, Key: kernel.Port(4789)},
	{Set: kernel.VNIs, Key: kernel.Concat(kernel.Port(4789), kernel.VNI(0x123456))},
	{Set: kernel.OwnVNIs, Key: kernel.Concat(kernel.Port(4789), kernel.VNI(7))},
	{Set: kernel.Encrypted, Key: kernel.Concat(kernel.Port(4789), kernel.VNI(9))},
	{Set: kernel.WireGuard, Key: kernel.Concat(kernel.Device("wg0-blue"), kernel.Port(4789), kernel.VNI(9))},
	{Set: kernel.WireGuardLinks, Key: kernel.Device("wg0-blue")},
	{Set: kernel.WireGuardPorts, Key: kernel.Port(51820)},
	{Set: kernel.Members4, Key: kernel.Concat(ip4, ip4, kernel.Port(4789), kernel.VNI(0x64))},
	{Set: kernel.Members6, Key: kernel.Concat(ip6, ip6, kernel.Port(4789), kernel.VNI(0x64))},
	{Set: kernel.VTEPs4, Key: kernel.Concat(ip4, kernel.Port(4789))},
	{Set: kernel.VTEPs6, Key: kernel.Concat(ip6, kernel.Port(4789))},
	{Set: kernel.RootPorts, Key: kernel.Port(7947)},
	{Set: kernel.AllowedUsers, Key: kernel.User(1000)},
	{Set: kernel.AllowedUsers, Key: kernel.User(65534)},
	{Set: kernel.Subnets4, Key: kernel.Concat(subnet("10.0.0.0/24"), subnet("10.1.0.0/20"))},
	{Set: kernel.Subnets6, Key: kernel.Concat(subnet("fd00:10::/64"), subnet("fd00:10::/64"))},
	{Set: kernel.Masquerade4, Key: subnet("10.0.0.0/24")},
	{Set: kernel.Masquerade4, Key: subnet("10.0.1.0/24")},
	{Set: kernel.Masquerade6, Key: subnet("fd00:10::/64")},
	{Set: kernel.Outbound4, Key: subnet("10.0.0.0/24"), Value: ip4},
	{Set: kernel.Outbound6, Key: subnet("fd00:10::/64"), Value: ip6},
	publishedPort,
	{Set: kernel.Ports6, Key: kernel.Concat(tcp, kernel.Port(8080)), Value: kernel.Concat(ip6, kernel.Port(80))},
	{Set: kernel.PortsAt4, Key: kernel.Concat(ip4, tcp, kernel.Port(8080)), Value: kernel.Concat(ip4, kernel.Port(80))},
	{Set: kernel.PortsAt6, Key: kernel.Concat(ip6, tcp, kernel.Port(8080)), Value: kernel.Concat(ip6, kernel.Port(80))},
	{Set: kernel.FromPort, Key: br, Value: kernel.Jump(kernel.ChainFromTunnel)},
	{Set: kernel.ToPort, Key: br, Value: kernel.Jump(kernel.ChainToTunnel)},
	{Set: kernel.Gateways4, Key: kernel.Concat(br, ip4)},
	{Set: kernel.Gateways6, Key: kernel.Concat(br, ip6)},
	{Set: kernel.GatewaysND, Key: kernel.Concat(br, kernel.NDTarget(netip.MustParseAddr("fd00:10::2")))},
	{Set: kernel.SourceND, Key: kernel.Concat(br, kernel.NDTarget(netip.MustParseAddr("fd00:10::2")))},
	{Set: kernel.SourceMAC, Key: kernel.Concat(br, kernel.Ethernet(kernel.MAC{2, 0, 0, 0, 0, 1}))},
	{Set: kernel.SourceIP4, Key: kernel.Concat(br, ip4)},
	{Set: kernel.SourceIP6, Key: kernel.Concat(br, ip6)},
}

// What nft prints must be a file that it reads, and read as the same.
func TestListingLoadsAgain(t *testing.T) {
	c, sh := open(t)
	apply(t, c, kernel.SetFirewall{Elements: sample})
	listing := sh("nft list ruleset")
	t.Log(listing)
	for _, e := range sample {
		text := strings.ReplaceAll(e.String(), "tcp", "6") // as newer nft prints it
		if !strings.Contains(listing, text) && !strings.Contains(listing, strings.ReplaceAll(text, "6 .", "tcp .")) {
			t.Errorf("the listing has no %s", text)
		}
	}
	if strings.Contains(listing, "unknown") {
		t.Error("the listing has something unknown")
	}
	again := sh("nft list ruleset > rules.tmp; nft flush ruleset; nft -f rules.tmp; rm rules.tmp; nft list ruleset")
	if again != listing {
		t.Errorf("loaded again it is\n%s", again)
	}
	if intact, err := c.RulesIntact(); err != nil || !intact {
		t.Errorf("intact: %v, %v", intact, err)
	}
}

// What is read of the tables can be loaded again, and is the same to nft.
func TestElementsAreReadAsTheyWereLoaded(t *testing.T) {
	c, sh := open(t)
	adjacent := append(slices.Clone(sample), kernel.Element{Set: kernel.Masquerade4, Key: subnet("10.77.0.0/24")},
		kernel.Element{Set: kernel.Masquerade4, Key: subnet("10.77.1.0/24")}, kernel.Element{Set: kernel.Masquerade4, Key: subnet("255.255.255.0/24")})
	if got, err := c.Elements(); err != nil || len(got) > 0 {
		t.Errorf("without tables: %v, %v", got, err)
	}
	apply(t, c, kernel.SetFirewall{Elements: adjacent})
	want := sh("nft list ruleset")
	have, err := c.Elements()
	if err != nil || len(have) != len(adjacent) {
		t.Errorf("%d elements, %v; want %d", len(have), err, len(adjacent))
	}
	values := make(map[kernel.ElementID]string)
	for _, e := range adjacent {
		values[e.ID()] = string(e.Value.First()) + e.Value.Chain()
	}
	for _, e := range have {
		if want, ok := values[e.ID()]; !ok || want != string(e.Value.First())+e.Value.Chain() {
			t.Errorf("%s %s: not loaded, or with another value", e.Set.Name, e)
		}
	}
	apply(t, c, kernel.SetFirewall{Elements: have})
	if got := sh("nft list ruleset"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Of tables of another version only what fits is read.
func TestElementsOfAnotherVersionAreLeftOut(t *testing.T) {
	c, sh := open(t)
	sh(`nft 'table inet vxlan-driver { set bridges { type ipv4_addr; elements = { 10.0.0.1 }; }; set isolated { type ifname; elements = { "br-x" }; }; }'`)
	have, err := c.Elements()
	if err != nil || len(have) != 1 || have[0].Set != kernel.Isolated {
		t.Errorf("%v, %v", have, err)
	}
}

func TestRuleDriftDetected(t *testing.T) {
	tests := map[string]string{
		"flushed":          "nft flush ruleset",
		"a rule deleted":   "nft flush chain inet vxlan-driver forward",
		"a rule added":     "nft insert rule inet vxlan-driver forward accept",
		"bridge table":     "nft flush table bridge vxlan-driver",
		"another version":  "nft 'flush table inet vxlan-driver; delete table inet vxlan-driver; add table inet vxlan-driver'",
		"a rule in place":  "h=$(nft -a list chain inet vxlan-driver input | sed -n 's/.*# handle //p' | tail -1); nft replace rule inet vxlan-driver input handle $h accept",
		"a chain, emptied": "nft flush chain inet vxlan-driver vxlan_input",
	}
	for name, script := range tests {
		t.Run(name, func(t *testing.T) {
			c, sh := open(t)
			sh("nft 'table inet other { chain x { type filter hook input priority 0; }; }'")
			for range 2 {
				apply(t, c, kernel.SetFirewall{Elements: sample})
				if intact, err := c.RulesIntact(); err != nil || !intact {
					t.Fatalf("intact: %v, %v", intact, err)
				}
			}
			sh(script)
			if intact, err := c.RulesIntact(); err != nil || intact {
				t.Errorf("intact: %v, %v", intact, err)
			}
		})
	}
}

func TestElementsComeAndGo(t *testing.T) {
	c, sh := open(t)
	apply(t, c, kernel.DelElements{Elements: sample}) // no table: nothing to delete
	apply(t, c, kernel.SetFirewall{})
	empty := sh("nft list ruleset")
	for range 2 {
		apply(t, c, kernel.AddElements{Elements: sample})
	}
	if comment, ok, err := c.ElementComment(networkMark); comment != "network blue" || !ok || err != nil {
		t.Errorf("got %q, %v, %v", comment, ok, err)
	}
	if _, ok, err := c.ElementComment(kernel.Element{Set: kernel.Bridges, Key: kernel.Device("other")}); ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
	// An element with the key and another value is in the way of an addition, and no deletion
	// touches it.
	taken := publishedPort
	taken.Value = kernel.Concat(ip4, kernel.Port(81))
	if err := c.Apply(kernel.AddElements{Elements: []kernel.Element{taken}}); !errors.Is(err, kernel.ErrElementTaken) {
		t.Errorf("got %v", err)
	}
	apply(t, c, kernel.DelElements{Elements: []kernel.Element{taken}})
	if _, ok, err := c.ElementComment(publishedPort); !ok || err != nil {
		t.Errorf("another's element was deleted: %v", err)
	}
	for range 2 {
		apply(t, c, kernel.DelElements{Elements: sample})
	}
	if got := sh("nft list ruleset"); got != empty {
		t.Errorf("left\n%s", got)
	}
	for range 2 {
		apply(t, c, kernel.DeleteFirewall{})
	}
	if got := sh("nft list ruleset"); got != "" {
		t.Errorf("left\n%s", got)
	}
}

// Elements are replaced all or none. Of the old ones any may be gone, and one may come back with
// another comment or value.
func TestElementsAreReplaced(t *testing.T) {
	c, sh := open(t)
	apply(t, c, kernel.SetFirewall{Elements: sample})
	mark, port := networkMark, publishedPort
	mark.Comment, port.Value = "network green", kernel.Concat(ip4, kernel.Port(81))
	gone := kernel.Element{Set: kernel.Bridges, Key: kernel.Device("gone")}
	apply(t, c, kernel.ReplaceElements{Old: []kernel.Element{networkMark, gone, publishedPort}, New: []kernel.Element{mark, port}})
	if comment, ok, err := c.ElementComment(mark); comment != "network green" || !ok || err != nil {
		t.Errorf("got %q, %v, %v", comment, ok, err)
	}
	before := sh("nft list ruleset")
	taken := port
	taken.Value = kernel.Concat(ip4, kernel.Port(82))
	err := c.Apply(kernel.ReplaceElements{Old: []kernel.Element{mark}, New: []kernel.Element{taken}})
	if got := sh("nft list ruleset"); !errors.Is(err, kernel.ErrElementTaken) || got != before {
		t.Errorf("%v; it left\n%s", err, got)
	}
}

// A range of ports is many elements, in one transaction.
func TestManyElementsInOneTransaction(t *testing.T) {
	c, sh := open(t)
	apply(t, c, kernel.SetFirewall{})
	var many []kernel.Element
	for p := range 50_000 {
		many = append(many, kernel.Element{Set: kernel.Ports4, Key: kernel.Concat(tcp, kernel.Port(uint16(p+1))), Value: kernel.Concat(ip4, kernel.Port(80))})
	}
	apply(t, c, kernel.AddElements{Elements: many})
	if got := strings.TrimSpace(sh("nft list map inet vxlan-driver ports4 | tr , '\\n' | grep -c ' . 80'")); got != "50000" {
		t.Errorf("%s elements", got)
	}
	apply(t, c, kernel.DelElements{Elements: many})
	if got := sh("nft list map inet vxlan-driver ports4"); strings.Contains(got, "elements") {
		t.Error("elements are left")
	}
}

// The comment must change with the rules, or a program would take another version's for its own.
func TestRulesVersion(t *testing.T) {
	for _, table := range firewallTables {
		if want := table.Hash(); table.Version != want {
			t.Errorf("table %s: version %q, want %q", table.Family, table.Version, want)
		}
	}
}

// One element costs the same beside many.
func BenchmarkElement(b *testing.B) {
	c, _ := open(b)
	apply(b, c, kernel.SetFirewall{Elements: sample})
	one := []kernel.Element{publishedPort}
	for b.Loop() {
		apply(b, c, kernel.DelElements{Elements: one})
		apply(b, c, kernel.AddElements{Elements: one})
	}
}

func BenchmarkIntact(b *testing.B) {
	c, _ := open(b)
	apply(b, c, kernel.SetFirewall{Elements: sample})
	for b.Loop() {
		if ok, err := c.RulesIntact(); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
