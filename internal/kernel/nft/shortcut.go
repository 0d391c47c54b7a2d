package nft

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/nlmsg"
)

// HasFastPath tells whether a KindVXLAN device has a shortcut's table.
func (c *Conn) HasFastPath(device string) (bool, error) {
	_, there, err := c.tableSays(shortcutTable(device, 0))
	return there, err
}

// FastPath returns what the table of a KindVXLAN device of that index has. If its rules are not as this program makes them for
// that very device, the shortcut is zero, without a device.
func (c *Conn) FastPath(device string, index int) (s kernel.FastPath, err error) {
	fail := func(err error) (kernel.FastPath, error) {
		return kernel.FastPath{}, fmt.Errorf("read shortcut of %s: %w", device, err)
	}
	t := shortcutTable(device, index)
	says, _, err := c.tableSays(t)
	if err != nil {
		return fail(err)
	}
	rules, err := c.ruleComments(t)
	if err != nil {
		return fail(err)
	}
	whole, intact := wholeChains(t, rules)
	if says != t.says() || !intact {
		return s, nil
	}
	s.Device = device
	remote, err := c.list(t.name, kernel.FastPathRemote)
	if err != nil {
		return fail(err)
	}
	for _, e := range remote {
		s.Remote = append(s.Remote, kernel.MAC(e.key))
	}
	if s.Ports, err = c.ports(t, whole); err != nil {
		return fail(err)
	}
	return s, nil
}

// wholeChains returns which ports' chains have their rule, and whether the rest of the table is as it should be.
func wholeChains(t table, rules []string) (whole map[string]bool, intact bool) {
	whole = make(map[string]bool)
	var rest []string
	for _, r := range rules {
		chain, says, _ := strings.Cut(r, ": ")
		if _, isPort := portMAC(chain); !isPort {
			rest = append(rest, r)
			continue
		}
		_, twice := whole[chain]
		whole[chain] = !twice && says == portChain(kernel.FastPathPort{}).rule[0].says
	}
	return whole, slices.Equal(rest, t.ruleComments())
}

// portMAC returns the MAC of a port's chain.
func portMAC(chain string) (m kernel.MAC, ok bool) {
	digits, ok := strings.CutPrefix(chain, "port-")
	if !ok || len(digits) != hex.EncodedLen(len(m)) {
		return m, false
	}
	_, err := hex.Decode(m[:], []byte(digits))
	return m, err == nil
}

// ports returns the table's ports. A chain whose device has gone is there or not, by the kernel's version.
func (c *Conn) ports(t table, whole map[string]bool) (all []kernel.FastPathPort, err error) {
	replies, err := c.dump(func() *nlmsg.Builder {
		m := c.request(unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP, t.family)
		m.Text(unix.NFTA_CHAIN_TABLE, t.name)
		return finish(m)
	})
	if err != nil {
		return nil, fmt.Errorf("read chains: %w", err)
	}
	for _, r := range replies {
		name := nlmsg.Text(nlmsg.Find(r.body, unix.NFTA_CHAIN_NAME))
		m, isPort := portMAC(name)
		// The kernel lists the chains of all tables of a family.
		if !isPort || nlmsg.Text(nlmsg.Find(r.body, unix.NFTA_CHAIN_TABLE)) != t.name {
			continue
		}
		p := kernel.FastPathPort{MAC: m}
		if whole[name] {
			p.Name = nlmsg.Text(nlmsg.Find(nlmsg.Find(r.body, unix.NFTA_CHAIN_HOOK), unix.NFTA_HOOK_DEV))
		}
		all = append(all, p)
	}
	return all, nil
}

// SetFastPath makes a table anew, for the KindVXLAN device of that index.
func (c *Conn) SetFastPath(ch kernel.SetFastPath, index int) error {
	t := shortcutTable(ch.FastPath.Device, index)
	b := c.newBatch()
	t.delete(b)
	t.declare(b, t.says())
	return c.commitShortcut(ch, b, addTo(b, t, ch.FastPath))
}

// changeShortcut takes away first: a port's MAC may be another's now.
func (c *Conn) changeShortcut(ch kernel.ChangeFastPath) error {
	t := shortcutTable(ch.Device, 0)
	b := c.newBatch()
	for _, p := range ch.Delete.Ports {
		t.deleteChain(b, p.Chain())
	}
	err := b.elements(t.name, unix.NFT_MSG_DELSETELEM, 0, remotes(ch.Delete.Remote))
	return c.commitShortcut(ch, b, errors.Join(err, addTo(b, t, ch.Add)))
}

// addTo appends what adds remote MACs and ports.
func addTo(b *batch, t table, s kernel.FastPath) error {
	for _, p := range s.Ports {
		t.declareChains(b, []chain{portChain(p)})
	}
	return b.elements(t.name, unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, remotes(s.Remote))
}

func remotes(macs []kernel.MAC) (all []kernel.Element) {
	for _, m := range macs {
		all = append(all, kernel.Element{Set: kernel.FastPathRemote, Key: kernel.Ethernet(m)})
	}
	return all
}

// leaveShortcut looks first, as the kernel refuses to delete what is not there.
func (c *Conn) leaveShortcut(ch kernel.EvictFastPath) error {
	t := shortcutTable(ch.Device, 0)
	element := remotes([]kernel.MAC{ch.MAC})
	b := c.newBatch()
	_, there, err := c.lookUp(t.name, element[0])
	if err == nil && there {
		err = b.elements(t.name, unix.NFT_MSG_DELSETELEM, 0, element)
	}
	chain := kernel.FastPathPort{MAC: ch.MAC}.Chain()
	if err == nil {
		there, err = c.hasChain(t, chain)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", ch, err)
	}
	if there {
		t.deleteChain(b, chain)
	}
	if err := c.commitShortcut(ch, b, nil); !errors.Is(err, kernel.ErrNotFound) {
		return err
	}
	return nil // somebody else deleted it meanwhile
}

func (c *Conn) hasChain(t table, chain string) (bool, error) {
	m := c.request(unix.NFT_MSG_GETCHAIN, 0, t.family)
	m.Text(unix.NFTA_CHAIN_TABLE, t.name)
	m.Text(unix.NFTA_CHAIN_NAME, chain)
	_, err := c.get(finish(m))
	if isMissing(err) {
		return false, nil
	}
	return err == nil, err
}

func (c *Conn) delShortcut(ch kernel.DelFastPath) error {
	b := c.newBatch()
	shortcutTable(ch.Device, 0).delete(b)
	return c.commitShortcut(ch, b, nil)
}

// commitShortcut carries a transaction out, if it could be made. It tells a kernel that cannot do it from a
// device that is gone: both are ENOENT, but a rule speaks of no device.
func (c *Conn) commitShortcut(ch kernel.Change, b *batch, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", ch, err)
	}
	says, err := c.commit(b)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT), isMissing(err) && strings.HasPrefix(says, "add rule"):
		err = fmt.Errorf("%w (%w)", kernel.ErrNoFastPath, err)
	case isMissing(err):
		err = fmt.Errorf("%w (%w)", kernel.ErrNotFound, err)
	}
	return fmt.Errorf("%s: %s: %w", ch, says, err)
}
