package nft

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// Apply makes one of the firewall's changes, in one transaction.
func (c *Conn) Apply(ch kernel.Change) error {
	switch ch := ch.(type) {
	case kernel.SetFirewall:
		return c.setTables(ch.Elements)
	case kernel.DeleteFirewall:
		return c.deleteTables()
	case kernel.AddElements:
		return c.addElements(ch.Elements)
	case kernel.DelElements:
		return c.delElements(ch.Elements)
	}
	return errors.New("not a change of the firewall")
}

// setTables replaces both tables: there is no moment at which a packet would meet neither the old nor the new ones. What
// is not there is not deleted to be sure: that alone would have the kernel wait for RCU at the end.
func (c *Conn) setTables(elements []kernel.Element) error {
	tx := NewTransaction()
	for _, t := range tables {
		_, there, err := c.TableComment(t)
		if err != nil {
			return err
		}
		if there {
			tx.DeleteTable(t)
		}
		tx.AddTable(t)
	}
	if err := tx.AddElements(tables, elements); err != nil {
		return err
	}
	if says, err := c.Commit(tx); err != nil {
		return fmt.Errorf("load firewall tables: %s: %w", says, err)
	}
	return nil
}

func (c *Conn) deleteTables() error {
	tx := NewTransaction()
	for _, t := range tables {
		tx.DeleteTable(t)
	}
	if says, err := c.Commit(tx); err != nil {
		return fmt.Errorf("delete firewall tables: %s: %w", says, err)
	}
	return nil
}

func (c *Conn) addElements(elements []kernel.Element) error {
	tx := NewTransaction()
	if err := tx.AddElements(tables, elements); err != nil {
		return err
	}
	says, err := c.Commit(tx)
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
		f, ok, err := c.lookUpElement(tables, e)
		if err != nil {
			return err
		}
		if ok && f.hasValueOf(e) {
			there = append(there, kernel.Element{Set: e.Set, Key: e.Key})
		}
	}
	tx := NewTransaction()
	if err := tx.DeleteElements(tables, there); err != nil {
		return err
	}
	if says, err := c.Commit(tx); err != nil && !isMissing(err) {
		return fmt.Errorf("delete %s: %w", says, err)
	}
	return nil
}

// ElementComment returns the comment of the element with the key of e, and whether there is one.
func (c *Conn) ElementComment(e kernel.Element) (note string, ok bool, err error) {
	f, ok, err := c.lookUpElement(tables, e)
	return f.comment, ok, err
}

// RulesIntact tells whether the tables hold the rules of this program, in their order. A
// rule that somebody replaced has lost its comment.
func (c *Conn) RulesIntact() (bool, error) {
	for _, t := range tables {
		says, _, err := c.TableComment(t)
		if err != nil || says != t.Comment() {
			return false, err
		}
		have, err := c.RuleComments(t)
		if err != nil || !slices.Equal(have, t.RuleComments()) {
			return false, err
		}
	}
	return true, nil
}
