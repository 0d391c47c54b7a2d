package nft

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/nlmsg"
)

// Shortcut returns what the table of a VXLAN device has. there tells whether it has one; if its rules are not
// as this program makes them for the device as it is now, the shortcut is zero, without a device.
//
// A port that is only partly there has what there is of it: a MAC without a name that leads to no
// port which is there or has its rule, or the name without a MAC.
func (c *Conn) Shortcut(device string) (s kernel.Shortcut, there bool, err error) {
	fail := func(err error) (kernel.Shortcut, bool, error) {
		return kernel.Shortcut{}, there, fmt.Errorf("read shortcut of %s: %w", device, err)
	}
	index, err := c.index(device)
	if err != nil && !errors.Is(err, kernel.ErrNotFound) {
		return fail(err)
	}
	t := shortcutTable(device, index)
	says, there, err := c.tableSays(t)
	if err != nil || !there || says != t.says() {
		return s, there, err
	}
	rules, err := c.ruleComments(t)
	if err != nil {
		return fail(err)
	}
	ports, intact := portsOf(t, rules)
	if !intact {
		return s, true, nil
	}
	s.Device = device
	remote, err := c.list(t.name, kernel.ShortcutRemote)
	if err != nil {
		return fail(err)
	}
	for _, e := range remote {
		s.Remote = append(s.Remote, kernel.MAC(e.key))
	}
	local, err := c.list(t.name, kernel.ShortcutLocal)
	if err != nil {
		return fail(err)
	}
	if s.Ports, err = c.join(local, ports); err != nil {
		return fail(err)
	}
	return s, true, nil
}

// portsOf returns the ports whose chains are whole, and whether the rest of the table is.
func portsOf(t table, rules []string) (ports []string, intact bool) {
	rules = slices.Clone(rules)
	for i := 0; i < len(rules); {
		chain, says, _ := strings.Cut(rules[i], ": ")
		port, isPort := strings.CutPrefix(chain, portChain)
		if !isPort {
			i++
			continue
		}
		if says == portOf(port).rule[0].says {
			ports = append(ports, port)
		}
		rules = slices.Delete(rules, i, i+1)
	}
	slices.Sort(rules)
	want := t.ruleComments()
	slices.Sort(want)
	return ports, slices.Equal(rules, want)
}

// join puts together what the map says and which ports have a chain.
func (c *Conn) join(local []found, ports []string) (all []kernel.ShortcutPort, err error) {
	left := make(map[string]bool)
	for _, p := range ports {
		left[p] = true
	}
	for _, e := range local {
		p := kernel.ShortcutPort{MAC: kernel.MAC(e.key)}
		name, err := c.linkName(nlmsg.U32(e.value))
		if err != nil {
			return nil, err
		}
		if left[name] {
			p.Name = name
			delete(left, name)
		}
		all = append(all, p)
	}
	for _, name := range ports {
		if left[name] {
			all = append(all, kernel.ShortcutPort{Name: name})
		}
	}
	return all, nil
}

// setShortcut makes the table anew.
func (c *Conn) setShortcut(ch kernel.SetShortcut) error {
	index, err := c.index(ch.Shortcut.Device)
	if err != nil {
		return fmt.Errorf("%s: %w", ch, err)
	}
	t := shortcutTable(ch.Shortcut.Device, index)
	b := c.newBatch()
	t.delete(b)
	t.declare(b, t.says())
	return c.commitShortcut(ch, b, c.addTo(b, t, ch.Shortcut))
}

// changeShortcut takes away first: a port may have come anew with another index.
func (c *Conn) changeShortcut(ch kernel.ChangeShortcut) error {
	t := shortcutTable(ch.Device, 0)
	b := c.newBatch()
	del := inRemote(ch.Delete.Remote)
	for _, p := range ch.Delete.Ports {
		if !p.MAC.IsZero() {
			del = append(del, inLocal(p.MAC))
		}
		if p.Name != "" {
			t.deleteChain(b, portChain+p.Name)
		}
	}
	err := b.elements(t.name, unix.NFT_MSG_DELSETELEM, 0, del)
	return c.commitShortcut(ch, b, errors.Join(err, c.addTo(b, t, ch.Add)))
}

// addTo appends what adds remote MACs and ports. A container's veth goes with the container, before
// its teardown, so a port that is not there is left out.
func (c *Conn) addTo(b *batch, t table, s kernel.Shortcut) error {
	elements := inRemote(s.Remote)
	for _, p := range s.Ports {
		index, err := c.index(p.Name)
		if errors.Is(err, kernel.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		e := inLocal(p.MAC)
		e.Value = kernel.Index(p.Name, index)
		elements = append(elements, e)
		t.declareChains(b, []chain{portOf(p.Name)})
	}
	return b.elements(t.name, unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, elements)
}

func inRemote(macs []kernel.MAC) (all []kernel.Element) {
	for _, m := range macs {
		all = append(all, kernel.Element{Set: kernel.ShortcutRemote, Key: kernel.Ethernet(m)})
	}
	return all
}

func inLocal(m kernel.MAC) kernel.Element {
	return kernel.Element{Set: kernel.ShortcutLocal, Key: kernel.Ethernet(m)}
}

// leaveShortcut looks first, as the kernel refuses to delete what is not there.
func (c *Conn) leaveShortcut(ch kernel.LeaveShortcut) error {
	name := kernel.ShortcutTable(ch.Device)
	b := c.newBatch()
	for _, e := range append(inRemote([]kernel.MAC{ch.MAC}), inLocal(ch.MAC)) {
		_, ok, err := c.lookUp(name, e)
		if err == nil && ok {
			err = b.elements(name, unix.NFT_MSG_DELSETELEM, 0, []kernel.Element{e})
		}
		if err != nil {
			return err
		}
	}
	return c.commitShortcut(ch, b, nil)
}

func (c *Conn) delShortcut(ch kernel.DelShortcut) error {
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
		err = fmt.Errorf("%w (%w)", kernel.ErrNoShortcut, err)
	case isMissing(err):
		err = fmt.Errorf("%w (%w)", kernel.ErrNotFound, err)
	}
	return fmt.Errorf("%s: %s: %w", ch, says, err)
}
