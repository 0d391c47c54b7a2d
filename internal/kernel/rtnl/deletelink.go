package rtnl

import (
	"errors"
	"math/rand/v2"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netlink"
)

// deleteLink is slow: the kernel answers only when every RCU callback queued so
// far has run (rcu_barrier in netdev_run_todo, net/core/dev.c), which took 15 to
// 40 ms on Linux 6.18.
func (c *Conn) deleteLink(name string) error {
	if name == "" { // with index 0 and no name the kernel would delete a group
		return nil
	}
	return unlessGone(notFound(c.Change(unix.RTM_DELLINK, 0, linkMessage(0, 0, 0), nameAttr(name))))
}

// deleteLinks deletes several links, for which the kernel waits once if it deletes them
// as a group. What is left for whatever reason is deleted one by one.
func (c *Conn) deleteLinks(names []string) error {
	if len(names) > 1 && c.deleteGroup(names) == nil {
		return nil
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, c.deleteLink(name))
	}
	return errors.Join(errs...)
}

// deleteGroup puts links into a group and deletes it, by messages that the kernel works off in
// one system call: whoever is killed leaves all links or none, and none in the group.
//
// Groups are of this namespace. Numbers are given out by nobody, so one out of 2^30 is
// drawn, anew each time. To look first whether somebody has it would take a list of all links, which
// with many containers takes longer than is won.
func (c *Conn) deleteGroup(names []string) error {
	group := netlink.Uint32Attr(unix.IFLA_GROUP, 1<<30|rand.Uint32N(1<<30))
	var batch netlink.Batch
	request := func(typ uint16, attrs ...netlink.Attr) {
		batch.Message(typ, 0, func() {
			batch.Raw(linkMessage(0, 0, 0)...)
			batch.Attrs(attrs...)
		})
	}
	for _, name := range names {
		request(unix.RTM_SETLINK, group, nameAttr(name))
	}
	request(unix.RTM_DELLINK, group)
	refusals, err := c.socket.ExecuteBatch(&batch)
	errs := []error{err}
	for _, r := range refusals {
		errs = append(errs, unlessGone(r.Err)) // that one is not there already is no error
	}
	return errors.Join(errs...)
}
