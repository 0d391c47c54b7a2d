package diagnosis

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Entry explains a code.
type Entry struct {
	Code  Code   `json:"code"`
	Title string `json:"title"` // a few words, without a capital
	// Meaning is what is wrong and what comes of it, in sentences.
	Meaning string `json:"meaning"`
	// Causes are the usual ones, the most frequent one first.
	Causes []string `json:"causes"`
	// Mends say what to do, in the order of the causes where they belong together.
	Mends []string `json:"mends"`
}

// Groups of codes, by their first two digits.
var groups = []struct{ digits, title string }{
	{"01", "This host's kernel and programs"},
	{"02", "The underlay: interface, address, route"},
	{"03", "Tunnels to other hosts"},
	{"04", "Devices, bridges and forwarding tables"},
	{"05", "Firewalls"},
	{"06", "Addresses, MACs and names"},
	{"07", "The agent and its cluster"},
	{"08", "Container names"},
	{"09", "Limits and clocks"},
	{"10", "Encrypted networks"},
}

// catalog has all codes, in their order.
var catalog = slices.Concat(hostEntries, underlayEntries, tunnelEntries, deviceEntries, firewallEntries,
	addressEntries, clusterEntries, nameEntries, limitEntries, encryptionEntries)

// Entries returns all codes, in their order.
func Entries() []Entry { return slices.Clone(catalog) }

// Explain returns what a code means. It takes the code as people type it.
func Explain(code string) (Entry, bool) {
	i := slices.IndexFunc(catalog, func(e Entry) bool { return string(e.Code) == strings.ToUpper(code) })
	if i < 0 {
		return Entry{}, false
	}
	return catalog[i], true
}

// defaultAgentsPort is how texts name the port of the agents.
const defaultAgentsPort = "port 7947"

// WithAgentsPort returns the entry for hosts whose agents have another port than the default.
func (e Entry) WithAgentsPort(port uint16) Entry {
	name := func(text string) string {
		return strings.ReplaceAll(text, defaultAgentsPort, fmt.Sprintf("port %d", port))
	}
	nameAll := func(texts []string) (named []string) {
		for _, text := range texts {
			named = append(named, name(text))
		}
		return named
	}
	e.Meaning, e.Causes, e.Mends = name(e.Meaning), nameAll(e.Causes), nameAll(e.Mends)
	return e
}

// MessageID is the 128-bit number by which the journal knows a code (journald's MESSAGE_ID). It is
// made from the code, so that it never changes, and has the form of a random UUID (RFC 9562).
func (c Code) MessageID() string {
	sum := sha256.Sum256([]byte("vxlan-driver message " + c))
	id := sum[:16]
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return hex.EncodeToString(id)
}

// Anchor is where docs/user/codes.md explains the code.
func (c Code) Anchor() string { return strings.ToLower(string(c)) }
