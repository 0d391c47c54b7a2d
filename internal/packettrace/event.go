package packettrace

import (
	"net/netip"
	"strings"
)

// Event is what happened to a packet in one chain.
type Event struct {
	ID     string // of the packet
	Family string // of nftables: inet, bridge, ip, …
	Table  string
	Chain  string
	// Packet is set on the first event of a chain.
	Packet *Packet
	// Rule is the rule that matched, as nft prints it; empty: the policy of the chain decided.
	Rule    string
	Comment string // of the rule
	Verdict string // accept, drop, continue, jump …; empty with Packet
}

// Place names the chain.
func (e Event) Place() string { return e.Family + " " + e.Table + " " + e.Chain }

// Packet is the head of a packet, as far as people want to see it.
type Packet struct {
	In, Out  string // interfaces
	Src, Dst netip.Addr
	Protocol string // tcp, udp, icmp …; empty: another one
	SrcPort  string
	DstPort  string
	Kind     string // of ICMP, such as echo-request
}

// String is one line, such as `tcp 10.0.0.2:3344 → 10.0.0.3:80 from eth0`.
func (p Packet) String() string { return p.Format(netip.Addr.String) }

// Format is String with other words for addresses.
func (p Packet) Format(name func(netip.Addr) string) string {
	text := p.Protocol
	if text == "" {
		text = "packet"
	}
	if p.Kind != "" {
		text += " " + p.Kind
	}
	text += " " + withPort(name, p.Src, p.SrcPort) + " → " + withPort(name, p.Dst, p.DstPort)
	if p.In != "" {
		text += " from " + p.In
	}
	if p.Out != "" {
		text += " to " + p.Out
	}
	return text
}

func withPort(name func(netip.Addr) string, addr netip.Addr, port string) string {
	text := "?"
	if addr.IsValid() {
		text = name(addr)
	}
	if port == "" {
		return text
	}
	if addr.Is6() && text == addr.String() {
		text = "[" + text + "]"
	}
	return text + ":" + port
}

// parseEvent reads a line of `nft monitor trace`. Lines of another form are none.
func parseEvent(line string) (e Event, ok bool) {
	rest, ok := strings.CutPrefix(line, "trace id ")
	words := strings.SplitN(rest, " ", 5)
	if !ok || len(words) < 5 {
		return Event{}, false
	}
	e = Event{ID: words[0], Family: words[1], Table: words[2], Chain: words[3]}
	kind, details, _ := strings.Cut(strings.TrimSpace(words[4]), " ")
	switch kind {
	case "packet:":
		e.Packet = parsePacket(details)
	case "policy", "verdict":
		e.Verdict = firstWord(details)
	case "rule", "unknown":
		e.Rule, e.Verdict = cutVerdict(details)
		e.Comment = commentOf(e.Rule)
	default:
		return Event{}, false
	}
	return e, true
}

func firstWord(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return word
}

// cutVerdict splits `ip protocol icmp drop (verdict drop)`.
func cutVerdict(text string) (rule, verdict string) {
	i := strings.LastIndex(text, "(verdict ")
	if i < 0 {
		return text, ""
	}
	return strings.TrimSpace(text[:i]), firstWord(strings.TrimSuffix(text[i+len("(verdict "):], ")"))
}

func commentOf(rule string) string {
	_, text, found := strings.Cut(rule, `comment "`)
	if !found {
		return ""
	}
	comment, _, _ := strings.Cut(text, `"`)
	return comment
}

// parsePacket reads the head of a packet: words and values, such as `ip saddr 10.0.0.2`.
func parsePacket(text string) *Packet {
	p := new(Packet)
	words := strings.Fields(text)
	for i := 0; i+1 < len(words); i++ {
		value := words[i+1]
		switch words[i] {
		case "iif":
			p.In = strings.Trim(value, `"`)
		case "oif":
			p.Out = strings.Trim(value, `"`)
		case "saddr", "daddr":
			addr, err := netip.ParseAddr(value)
			switch {
			case err != nil: // of Ethernet
			case words[i] == "saddr":
				p.Src = addr
			default:
				p.Dst = addr
			}
		case "sport":
			p.Protocol, p.SrcPort = words[i-1], value
		case "dport":
			p.Protocol, p.DstPort = words[i-1], value
		case "type":
			if i > 0 && strings.HasPrefix(words[i-1], "icmp") {
				p.Protocol, p.Kind = words[i-1], value
			}
		}
	}
	return p
}
