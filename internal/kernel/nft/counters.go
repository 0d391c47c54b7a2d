package nft

import (
	"encoding/binary"
	"fmt"
	"iter"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// DropCounters returns what the rules of the firewall have dropped. Each rule that drops counts.
// Tables that are not there have dropped nothing.
func (c *Conn) DropCounters() (all []kernel.DropCounter, err error) {
	for _, t := range firewallTables {
		m := newRequest(unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, t.Family)
		m.Text(unix.NFTA_RULE_TABLE, t.Name)
		answers, err := c.execute(m)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read counters of table %s: %w", t.Name, err)
		}
		for _, a := range answers {
			if counter := parseCounter(a); counter != nil {
				all = append(all, newDropCounter(a, counter))
			}
		}
	}
	return all, nil
}

// parseCounter returns the data of a rule's counter, or nil if it has none.
func parseCounter(rule []byte) []byte {
	for e := range expressions(rule) {
		if netlink.Text(netlink.Find(e, unix.NFTA_EXPR_NAME)) == "counter" {
			return netlink.Find(e, unix.NFTA_EXPR_DATA)
		}
	}
	return nil
}

// expressions iterates over what a rule consists of.
func expressions(rule []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, e := range netlink.Attrs(netlink.Find(rule, unix.NFTA_RULE_EXPRESSIONS)) {
			if !yield(e) {
				return
			}
		}
	}
}

func newDropCounter(rule, counter []byte) kernel.DropCounter {
	d := kernel.DropCounter{
		Chain:   netlink.Text(netlink.Find(rule, unix.NFTA_RULE_CHAIN)),
		Comment: parseComment(netlink.Find(rule, unix.NFTA_RULE_USERDATA)),
		Packets: parseUint64BE(netlink.Find(counter, unix.NFTA_COUNTER_PACKETS)),
		Bytes:   parseUint64BE(netlink.Find(counter, unix.NFTA_COUNTER_BYTES)),
	}
	d.Reason = dropReason(d.Chain, d.Comment)
	return d
}

func parseUint64BE(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// dropReason says in a word why a rule drops. Metrics have it as a label, so it is one of few, and
// stays when a comment is reworded.
func dropReason(chain, comment string) string {
	switch chain {
	case "vxlan_input":
		return "not_a_member"
	case "container_to_vtep", "container_to_agent", "container_to_loopback", "user_to_vtep", "user_to_agent",
		"plaintext_in", "plaintext_out", "from_wireguard":
		return chain
	case "input":
		return "router_advertisement"
	case "between_networks":
		return "isolation"
	case "to_network":
		return "internal_network"
	case "from_network":
		if comment == "invalid connection state" {
			return "invalid_connection"
		}
		return "internal_network"
	case "prerouting":
		return "tunnel_probe"
	case "priority_tag":
		return "vlan_tag"
	case kernel.ChainFromTunnel, kernel.ChainToTunnel, "nd_from_tunnel", "nd_to_tunnel":
		return "gateway"
	case kernel.ChainPortSecurity, "nd_advertisement":
		return "port_security"
	}
	return "other"
}
