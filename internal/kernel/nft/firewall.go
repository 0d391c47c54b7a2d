package nft

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// firewallTables are all tables that the firewall is made of.
var firewallTables = []Table{inetTable, bridgeTable}

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
		return c.deleteElements(ch.Elements)
	case kernel.ReplaceElements:
		return c.replaceElements(ch)
	}
	return errors.New("not a change of the firewall")
}

// setTables replaces both tables. At no moment does a packet meet neither the old nor the new ones.
// A table that does not exist is not deleted to be sure: for that alone the kernel would wait for
// RCU at the end.
func (c *Conn) setTables(elements []kernel.Element) error {
	tx := NewTransaction()
	for _, t := range firewallTables {
		_, exists, err := c.TableComment(t)
		if err != nil {
			return err
		}
		if exists {
			tx.DeleteTable(t)
		}
		tx.AddTable(t)
	}
	if err := tx.AddElements(firewallTables, elements); err != nil {
		return err
	}
	if refused, err := c.Commit(tx); err != nil {
		return fmt.Errorf("load firewall tables: %s: %w", refused, err)
	}
	return nil
}

func (c *Conn) deleteTables() error {
	tx := NewTransaction()
	for _, t := range firewallTables {
		tx.DeleteTable(t)
	}
	if refused, err := c.Commit(tx); err != nil {
		return fmt.Errorf("delete firewall tables: %s: %w", refused, err)
	}
	return nil
}

func (c *Conn) addElements(elements []kernel.Element) error {
	tx := NewTransaction()
	if err := tx.AddElements(firewallTables, elements); err != nil {
		return err
	}
	refused, err := c.Commit(tx)
	// An element that is there with the same value is no error to the kernel.
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add %s: %w", refused, kernel.ErrElementTaken)
	}
	if err != nil {
		return fmt.Errorf("add %s: %w", refused, err)
	}
	return nil
}

func (c *Conn) deleteElements(elements []kernel.Element) error {
	present, err := c.presentElements(elements)
	if err != nil {
		return err
	}
	tx := NewTransaction()
	if err := tx.DeleteElements(firewallTables, present); err != nil {
		return err
	}
	if refused, err := c.Commit(tx); err != nil && !isMissing(err) {
		return fmt.Errorf("delete %s: %w", refused, err)
	}
	return nil
}

func (c *Conn) replaceElements(r kernel.ReplaceElements) error {
	present, err := c.presentElements(r.Old)
	if err != nil {
		return err
	}
	tx := NewTransaction()
	if err := errors.Join(tx.DeleteElements(firewallTables, present), tx.AddElements(firewallTables, r.New)); err != nil {
		return err
	}
	refused, err := c.Commit(tx)
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("replace %s: %w", refused, kernel.ErrElementTaken)
	}
	if err != nil {
		return fmt.Errorf("replace %s: %w", refused, err)
	}
	return nil
}

// presentElements returns those of the elements that are there, without their values. The kernel
// refuses to delete what is not there, and of a map's element it compares the key alone.
func (c *Conn) presentElements(elements []kernel.Element) (present []kernel.Element, err error) {
	for _, e := range elements {
		have, ok, err := c.lookUpElement(firewallTables, e)
		if err != nil {
			return nil, err
		}
		if ok && have.hasValueOf(e) {
			present = append(present, kernel.Element{Set: e.Set, Key: e.Key})
		}
	}
	return present, nil
}

// ElementComment returns the comment of the element with the key of e, and whether there is one.
func (c *Conn) ElementComment(e kernel.Element) (comment string, ok bool, err error) {
	have, ok, err := c.lookUpElement(firewallTables, e)
	return have.comment, ok, err
}

// Elements returns the elements of the firewall's sets. Those that do not fit the sets as this
// program declares them are left out: another version may have made the tables.
func (c *Conn) Elements() (all []kernel.Element, err error) {
	for _, t := range firewallTables {
		for _, s := range t.Sets {
			found, err := c.setElements(t, s.Set)
			if isMissing(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			all = append(all, s.elements(found, t.hasChain)...)
		}
	}
	return all, nil
}

// OtherVersion tells whether another version of this program made one of the tables.
func (c *Conn) OtherVersion() (bool, error) {
	for _, t := range firewallTables {
		comment, _, err := c.TableComment(t)
		if err != nil || t.isOtherVersion(comment) {
			return err == nil, err
		}
	}
	return false, nil
}

// RulesIntact tells whether the tables hold the rules of this program, in their order. A rule that
// somebody replaced has lost its comment.
func (c *Conn) RulesIntact() (bool, error) {
	for _, t := range firewallTables {
		comment, _, err := c.TableComment(t)
		if err != nil || comment != t.Comment() {
			return false, err
		}
		have, err := c.RuleComments(t)
		if err != nil || !slices.Equal(have, t.RuleComments()) {
			return false, err
		}
	}
	return true, nil
}
