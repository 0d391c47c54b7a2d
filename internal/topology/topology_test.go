package topology

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/golden"
)

// evil has what ends a string or begins markup in one of the languages.
const evil = "a\"b'c<d>&e\\n#f;`g`|h]--i\x1b[31m\nj" + `\`

// testInventory is a network with hosts in each state, and one that other hosts have.
func testInventory() agentapi.Inventory {
	const a, b, c = "host-a (198.18.0.1)", "host-b (198.18.0.2)", "host-c (198.18.0.3)"
	blue := agentapi.NetworkInventory{
		Name: "blue", VNI: 7, Port: 4789, MTU: 1450,
		Hosts: []agentapi.MemberInventory{
			{Name: b, VTEP: netip.MustParseAddr("198.18.0.2"), Reachable: true},
			{Name: c, VTEP: netip.MustParseAddr("198.18.0.3")},
			{Name: "host-d (198.18.0.4)", VTEP: netip.MustParseAddr("198.18.0.4"), Reachable: true},
			{Name: a, VTEP: netip.MustParseAddr("198.18.0.1"), Self: true},
		},
		Endpoints: []agentapi.EndpointInventory{
			{Container: "db", Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("fd00::4")}, Host: b, State: agentapi.EndpointUp},
			{Container: "lost", Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.8")}, Host: c, State: agentapi.EndpointUnreachable},
			{Container: "soon", Host: b, State: agentapi.EndpointClaiming},
			{Container: "web", Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.2")}, Host: a, State: agentapi.EndpointUp},
		},
	}
	return agentapi.Inventory{
		Networks:  []agentapi.NetworkInventory{blue},
		Elsewhere: []agentapi.NetworkElsewhere{{Name: "green", VNI: 9, Port: 4789, Hosts: []string{b, c}, Containers: 3}},
	}
}

// testStatus says that the tunnels to two hosts lose packets. One of them does not even answer.
func testStatus() agentapi.StatusReport {
	return agentapi.StatusReport{Networks: []agentapi.NetworkStatus{{
		Name: "blue", Tunnels: []agentapi.TunnelStatus{{Host: "host-c (198.18.0.3)"}, {Host: "host-d (198.18.0.4)", Passing: 1402}},
	}}}
}

// evilInventory has names that are quoted, and more containers and longer names than a box takes.
func evilInventory() agentapi.Inventory {
	n := agentapi.NetworkInventory{Name: evil, VNI: 7, Port: 4789, Hosts: []agentapi.MemberInventory{
		{Name: evil, Self: true}, {Name: strings.Repeat("long", 30), Reachable: true}, {Name: evil + "2"},
	}}
	for i := range 25 {
		n.Endpoints = append(n.Endpoints, agentapi.EndpointInventory{Container: fmt.Sprint(evil, i), Host: evil, State: agentapi.EndpointUp})
	}
	return agentapi.Inventory{Networks: []agentapi.NetworkInventory{n}, Elsewhere: []agentapi.NetworkElsewhere{{Name: evil, Hosts: []string{evil}}}}
}

func TestGolden(t *testing.T) {
	drawn := New(testInventory(), testStatus())
	for file, got := range map[string]string{
		"topology.txt": drawn.Text(80), "topology.svg": drawn.SVG(), "topology.mmd": drawn.Mermaid(), "topology.dot": drawn.Dot(),
	} {
		golden.Compare(t, file, got)
	}
}

func TestTextFitsTerminal(t *testing.T) {
	text := New(evilInventory(), testStatus()).Text(80)
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("a line has %d columns: %s", n, line)
		}
	}
	if strings.ContainsRune(text, '\x1b') {
		t.Error("a name can move the cursor")
	}
	if got := (Topology{}).Text(80); got != "no VXLAN network has a container on this host\n" {
		t.Errorf("got %q", got)
	}
}

// SVG is well-formed XML without anything that is loaded or run.
func TestSVGIsSelfContained(t *testing.T) {
	for name, drawn := range map[string]Topology{"nothing": {}, "usual": New(testInventory(), testStatus()), "evil": New(evilInventory(), testStatus())} {
		svg := drawn.SVG()
		for d := xml.NewDecoder(strings.NewReader(svg)); ; {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			element, ok := token.(xml.StartElement)
			if !ok {
				continue
			}
			if !strings.Contains(" svg title style rect line text ", " "+element.Name.Local+" ") {
				t.Errorf("%s: element %s", name, element.Name.Local)
			}
			for _, a := range element.Attr {
				if a.Name.Local == "href" || strings.HasPrefix(a.Name.Local, "on") {
					t.Errorf("%s: attribute %s", name, a.Name.Local)
				}
			}
		}
		if strings.Contains(svg, "url(") || strings.Contains(svg, "@import") {
			t.Errorf("%s: the style loads something", name)
		}
	}
	if svg := New(evilInventory(), testStatus()).SVG(); !strings.Contains(svg, "… and 5 more") || strings.Contains(svg, strings.Repeat("long", 15)) {
		t.Errorf("a box has too much:\n%s", svg)
	}
}

// dotLine is the part of Graphviz' grammar that is used: each statement is a line.
var dotLine = regexp.MustCompile(`^ *(graph vxlan \{|subgraph cluster_n\d+ \{|\}|` +
	`(?:(?:graph|node|edge|n\d+h\d+(?: -- n\d+h\d+)?) \[(?:\w+=(?:\w+|"(?:[^"\\]|\\[\\"n])*")(?:, )?)+\]|label="(?:[^"\\]|\\[\\"n])*");)$`)

func TestDotIsValid(t *testing.T) {
	for name, all := range map[string]agentapi.Inventory{"nothing": {}, "usual": testInventory(), "evil": evilInventory()} {
		text := New(all, testStatus()).Dot()
		for line := range strings.Lines(text) {
			if !dotLine.MatchString(strings.TrimSuffix(line, "\n")) {
				t.Errorf("%s: %s", name, line)
			}
		}
		if strings.Count(text, " {\n") != strings.Count(text, "}\n") {
			t.Errorf("%s: braces do not match:\n%s", name, text)
		}
		if _, err := exec.LookPath("dot"); err != nil {
			continue // the grammar above is all there is
		}
		dot := exec.Command("dot", "-Tcanon")
		dot.Stdin = strings.NewReader(text)
		if said, err := dot.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, said)
		}
	}
}

// mermaidLine is the part of Mermaid's grammar that is used. A label has entities and line breaks,
// and none of the characters that end it or mean something in Markdown or HTML.
var mermaidLine = regexp.MustCompile(`^(flowchart LR| +end| +n\d+h0 (---|-\.-) n\d+h\d+|` +
	" +(subgraph n\\d+|n\\d+h\\d+)\\[\"([^\"#&;<>\\\\`*_~\\[\\]{}|]|#\\d+;|<br/>)*\"\\])$")

func TestMermaidIsValid(t *testing.T) {
	for name, all := range map[string]agentapi.Inventory{"nothing": {}, "usual": testInventory(), "evil": evilInventory()} {
		for line := range strings.Lines(New(all, testStatus()).Mermaid()) {
			if !mermaidLine.MatchString(strings.TrimSuffix(line, "\n")) {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
	if got, want := mermaidQuote(`a"b`, "c#"), `"a#34;b<br/>c#35;"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := dotQuote("a\"b\\n\nc"), `"a\"b\\n\nc"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
