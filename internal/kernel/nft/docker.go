package nft

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// dockerTables are iptables' tables of rules that filter. Those of iptables-legacy are not in
// nftables.
var dockerTables = []Table{{Family: kernel.FamilyIP, Name: "filter"}, {Family: kernel.FamilyIP6, Name: "filter"}}

// acceptPrefix marks the rules as this project's. iptables shows it as a comment.
const acceptPrefix = "vxlan-driver: "

// acceptRules let a bridge's packets pass. They are as iptables-nft makes its own, since it refuses
// to list a table with anything that it does not understand.
func acceptRules(bridge string) []Rule {
	count := []Expr{newExpr("counter", func(*netlink.Builder) {})}
	return []Rule{
		rule(acceptPrefix+bridge, matchName(iifname, bridge), count, accept()),
		rule(acceptPrefix+bridge, matchName(oifname, bridge), count, accept()),
	}
}

// handledRule is a rule of a chain, and the number by which it is deleted.
type handledRule struct {
	handle  []byte
	comment string
}

// chainRules returns the rules of a chain, none if it does not exist.
func (c *Conn) chainRules(t Table, chain string) (all []handledRule, err error) {
	m := newRequest(unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, t.Family)
	m.Text(unix.NFTA_RULE_TABLE, t.Name)
	m.Text(unix.NFTA_RULE_CHAIN, chain)
	answers, err := c.execute(m)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read rules of chain %s: %w", chain, err)
	}
	for _, a := range answers {
		all = append(all, handledRule{netlink.Find(a, unix.NFTA_RULE_HANDLE),
			parseComment(netlink.Find(a, unix.NFTA_RULE_USERDATA))})
	}
	return all, nil
}

// AcceptedInDocker returns the bridges that have rules of this project in Docker's chain for the
// administrator, and whether none of their rules is missing.
func (c *Conn) AcceptedInDocker() (complete map[string]bool, err error) {
	wanted, counts := 0, make(map[string]int)
	for _, t := range dockerTables {
		has, err := c.HasChain(t, kernel.DockerChain)
		if err != nil {
			return nil, err
		}
		if !has {
			continue
		}
		wanted += len(acceptRules(""))
		rules, err := c.chainRules(t, kernel.DockerChain)
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			if bridge, ours := strings.CutPrefix(r.comment, acceptPrefix); ours {
				counts[bridge]++
			}
		}
	}
	complete = make(map[string]bool)
	for bridge, n := range counts {
		complete[bridge] = n == wanted
	}
	return complete, nil
}

// AcceptInDocker lets a bridge's packets pass, as far as Docker's chain is there. In it the last
// rule may leave the chain, so these come first.
func (c *Conn) AcceptInDocker(bridge string) error {
	return c.changeDocker(bridge, acceptRules(bridge))
}

// ForgetInDocker undoes AcceptInDocker.
func (c *Conn) ForgetInDocker(bridge string) error { return c.changeDocker(bridge, nil) }

// changeDocker replaces the rules of a bridge.
func (c *Conn) changeDocker(bridge string, wanted []Rule) error {
	tx := NewTransaction()
	for _, t := range dockerTables {
		has, err := c.HasChain(t, kernel.DockerChain)
		if err != nil {
			return err
		}
		if !has {
			continue
		}
		rules, err := c.chainRules(t, kernel.DockerChain)
		if err != nil {
			return err
		}
		for _, r := range rules {
			if r.comment == acceptPrefix+bridge {
				tx.deleteRule(t, kernel.DockerChain, r.handle)
			}
		}
		for _, r := range wanted {
			r.insertInto(tx, t, kernel.DockerChain)
		}
	}
	if refused, err := c.Commit(tx); err != nil {
		return fmt.Errorf("change chain %s for %s: %s: %w", kernel.DockerChain, bridge, refused, err)
	}
	return nil
}

// deleteRule appends what deletes a rule.
func (tx *Transaction) deleteRule(t Table, chain string, handle []byte) {
	tx.add(fmt.Sprintf("delete rule %d of %s", binary.BigEndian.Uint64(handle), chain), unix.NFT_MSG_DELRULE, 0,
		t.Family, func(b *netlink.Builder) {
			b.Text(unix.NFTA_RULE_TABLE, t.Name)
			b.Text(unix.NFTA_RULE_CHAIN, chain)
			b.Bytes(unix.NFTA_RULE_HANDLE, handle)
		})
}
