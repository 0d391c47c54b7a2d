package nft

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netlink"
)

// TableComment returns the table's comment, and whether it is there.
func (c *Conn) TableComment(t Table) (comment string, exists bool, err error) {
	m := newRequest(unix.NFT_MSG_GETTABLE, 0, t.Family)
	m.Text(unix.NFTA_TABLE_NAME, t.Name)
	answers, err := c.execute(m)
	if isMissing(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read table %s: %w", t.Name, err)
	}
	var userdata []byte
	if len(answers) > 0 {
		userdata = netlink.Find(answers[0], tableUserdata)
	}
	return parseComment(userdata), true, nil
}

// RuleComment is the comment of a rule, and its chain.
type RuleComment struct{ Chain, Comment string }

// RuleComments are those of all rules, as they should be.
func (t Table) RuleComments() (all []RuleComment) {
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			all = append(all, RuleComment{c.Name, r.Comment})
		}
	}
	return all
}

// hasChain tells whether the table should have a chain of that name.
func (t Table) hasChain(name string) bool {
	return slices.ContainsFunc(t.Chains, func(c Chain) bool { return c.Name == name })
}

// RuleComments are those of all rules, as the kernel has them.
func (c *Conn) RuleComments(t Table) (all []RuleComment, err error) {
	m := newRequest(unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, t.Family)
	m.Text(unix.NFTA_RULE_TABLE, t.Name)
	answers, err := c.execute(m)
	if err != nil {
		return nil, fmt.Errorf("read rules of table %s: %w", t.Name, err)
	}
	for _, a := range answers {
		all = append(all, RuleComment{
			Chain:   netlink.Text(netlink.Find(a, unix.NFTA_RULE_CHAIN)),
			Comment: parseComment(netlink.Find(a, unix.NFTA_RULE_USERDATA)),
		})
	}
	return all, nil
}

// ChainHook is a chain of a table, and the device that its hook is on.
type ChainHook struct{ Chain, Device string }

// ChainHooks returns all chains of the table. A device that is gone is "" or its chain is gone too,
// by the kernel's version.
func (c *Conn) ChainHooks(t Table) (all []ChainHook, err error) {
	m := newRequest(unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP, t.Family)
	m.Text(unix.NFTA_CHAIN_TABLE, t.Name)
	answers, err := c.execute(m)
	if err != nil {
		return nil, fmt.Errorf("read chains of table %s: %w", t.Name, err)
	}
	for _, r := range answers {
		// The kernel lists the chains of all tables of a family.
		if netlink.Text(netlink.Find(r, unix.NFTA_CHAIN_TABLE)) != t.Name {
			continue
		}
		hook := netlink.Find(r, unix.NFTA_CHAIN_HOOK)
		all = append(all, ChainHook{
			Chain:  netlink.Text(netlink.Find(r, unix.NFTA_CHAIN_NAME)),
			Device: netlink.Text(netlink.Find(hook, unix.NFTA_HOOK_DEV)),
		})
	}
	return all, nil
}

// HasChain tells whether the table has a chain of that name.
func (c *Conn) HasChain(t Table, chain string) (bool, error) {
	m := newRequest(unix.NFT_MSG_GETCHAIN, 0, t.Family)
	m.Text(unix.NFTA_CHAIN_TABLE, t.Name)
	m.Text(unix.NFTA_CHAIN_NAME, chain)
	_, err := c.execute(m)
	if isMissing(err) {
		return false, nil
	}
	return err == nil, err
}
