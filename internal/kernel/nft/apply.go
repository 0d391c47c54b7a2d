package nft

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/nlmsg"
)

// Apply makes one of the firewall's changes, in one transaction.
func (c *Conn) Apply(ch kernel.Change) error {
	switch ch := ch.(type) {
	case kernel.SetFirewall:
		return c.set(ch.Elements)
	case kernel.DeleteFirewall:
		return c.deleteTables()
	case kernel.AddElements:
		return c.addElements(ch.Elements)
	case kernel.DelElements:
		return c.delElements(ch.Elements)
	case kernel.ChangeFastPath:
		return c.changeShortcut(ch)
	case kernel.EvictFastPath:
		return c.leaveShortcut(ch)
	case kernel.DelFastPath:
		return c.delShortcut(ch)
	}
	return errors.New("not a change of the firewall")
}

// set replaces both tables: there is no moment at which a packet would meet neither the old nor the new ones. What
// is not there is not deleted to be sure: that alone would have the kernel wait for RCU at the end.
func (c *Conn) set(elements []kernel.Element) error {
	b := c.newBatch()
	for _, t := range tables {
		_, there, err := c.tableSays(t)
		if err != nil {
			return err
		}
		if there {
			t.delete(b)
		}
		t.declare(b, t.says())
	}
	if err := b.elements(kernel.FirewallTable, unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, elements); err != nil {
		return err
	}
	if says, err := c.commit(b); err != nil {
		return fmt.Errorf("load firewall tables: %s: %w", says, err)
	}
	return nil
}

// delete appends what removes the table, if it is there: adding it first makes the deletion valid.
func (t table) delete(b *batch) {
	name := func() { b.Text(unix.NFTA_TABLE_NAME, t.name) }
	b.add("add table "+string(t.family), unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, t.family, name)
	b.add("delete table "+string(t.family), unix.NFT_MSG_DELTABLE, 0, t.family, name)
}

// deleteChain appends what removes a chain with its rules.
func (t table) deleteChain(b *batch, chain string) {
	b.add("delete chain "+chain, unix.NFT_MSG_DELCHAIN, 0, t.family, func() {
		b.Text(unix.NFTA_CHAIN_TABLE, t.name)
		b.Text(unix.NFTA_CHAIN_NAME, chain)
	})
}

func (c *Conn) deleteTables() error {
	b := c.newBatch()
	for _, t := range tables {
		t.delete(b)
	}
	if says, err := c.commit(b); err != nil {
		return fmt.Errorf("delete firewall tables: %s: %w", says, err)
	}
	return nil
}

func (c *Conn) addElements(elements []kernel.Element) error {
	b := c.newBatch()
	if err := b.elements(kernel.FirewallTable, unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, elements); err != nil {
		return err
	}
	says, err := c.commit(b)
	// An element that is there with the same value is no error to the kernel.
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add %s: %w", says, kernel.ErrElementTaken)
	}
	if err != nil {
		return fmt.Errorf("add %s: %w", says, err)
	}
	return nil
}

// delElements looks first: the kernel refuses to delete what is not there, and of a map's element it compares the key alone.
func (c *Conn) delElements(elements []kernel.Element) error {
	var there []kernel.Element
	for _, e := range elements {
		f, ok, err := c.lookUp(kernel.FirewallTable, e)
		if err != nil {
			return err
		}
		if ok && f.is(e) {
			there = append(there, kernel.Element{Set: e.Set, Key: e.Key})
		}
	}
	b := c.newBatch()
	if err := b.elements(kernel.FirewallTable, unix.NFT_MSG_DELSETELEM, 0, there); err != nil {
		return err
	}
	if says, err := c.commit(b); err != nil && !isMissing(err) {
		return fmt.Errorf("delete %s: %w", says, err)
	}
	return nil
}

func isMissing(err error) bool { return errors.Is(err, unix.ENOENT) }

// ElementComment returns the comment of the element with the key of e, and whether there is one.
func (c *Conn) ElementComment(e kernel.Element) (note string, ok bool, err error) {
	f, ok, err := c.lookUp(kernel.FirewallTable, e)
	return f.note, ok, err
}

// RulesIntact tells whether the tables hold the rules of this program, in their order. A
// rule that somebody replaced has lost its comment.
func (c *Conn) RulesIntact() (bool, error) {
	for _, t := range tables {
		says, _, err := c.tableSays(t)
		if err != nil || says != t.says() {
			return false, err
		}
		have, err := c.ruleComments(t)
		if err != nil || !slices.Equal(have, t.ruleComments()) {
			return false, err
		}
	}
	return true, nil
}

// tableSays returns the table's comment, and whether it is there.
func (c *Conn) tableSays(t table) (says string, there bool, err error) {
	m := c.request(unix.NFT_MSG_GETTABLE, 0, t.family)
	m.Text(unix.NFTA_TABLE_NAME, t.name)
	replies, err := c.get(finish(m))
	if isMissing(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read firewall table: %w", err)
	}
	for _, r := range replies {
		for typ, b := range nlmsg.Attrs(r.body) {
			if typ == tableUserdata {
				return parseComment(b), true, nil
			}
		}
	}
	return "", true, nil
}

// ruleComments are the chains and comments of all rules, as they should be.
func (t table) ruleComments() []string {
	var all []string
	for _, c := range t.chains {
		for _, r := range c.rule {
			all = append(all, c.name+": "+r.says)
		}
	}
	return all
}

// ruleComments are those that the kernel has.
func (c *Conn) ruleComments(t table) ([]string, error) {
	replies, err := c.dump(func() *nlmsg.Builder {
		m := c.request(unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, t.family)
		m.Text(unix.NFTA_RULE_TABLE, t.name)
		return finish(m)
	})
	if err != nil {
		return nil, fmt.Errorf("read firewall rules: %w", err)
	}
	var all []string
	for _, r := range replies {
		var chain, says string
		for typ, b := range nlmsg.Attrs(r.body) {
			switch typ {
			case unix.NFTA_RULE_CHAIN:
				chain = nlmsg.Text(b)
			case unix.NFTA_RULE_USERDATA:
				says = parseComment(b)
			}
		}
		all = append(all, chain+": "+says)
	}
	return all, nil
}
