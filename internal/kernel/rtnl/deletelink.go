package rtnl

import (
	"errors"
	"math/rand/v2"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// deleteLink is slow: the kernel answers only when every RCU callback queued so
// far has run (rcu_barrier in netdev_run_todo, net/core/dev.c), which took 15 to
// 40 ms on Linux 6.18.
func (c *Conn) deleteLink(name string) error {
	if name == "" { // with index 0 and no name the kernel would delete a group
		return nil
	}
	return unlessGone(notFound(c.change(unix.RTM_DELLINK, 0, linkMessage(0, 0, 0), nameAttr(name))))
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
	group := attrU32(unix.IFLA_GROUP, 1<<30|rand.Uint32N(1<<30))
	var requests []*nl.NetlinkRequest
	for _, name := range names {
		requests = append(requests, linkRequest(unix.RTM_SETLINK, group, nameAttr(name)))
	}
	requests = append(requests, linkRequest(unix.RTM_DELLINK, group))
	return c.batch(requests)
}

func linkRequest(typ int, attrs ...*nl.RtAttr) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(typ, unix.NLM_F_ACK)
	r.AddData(linkMessage(0, 0, 0))
	for _, a := range attrs {
		r.AddData(a)
	}
	return r
}

// batch sends requests at once. That what one is about is not there is no error.
func (c *Conn) batch(requests []*nl.NetlinkRequest) error {
	var all []byte
	waiting := make(map[uint32]bool)
	for _, r := range requests {
		all = append(all, r.Serialize()...)
		waiting[r.Seq] = true
	}
	if err := unix.Sendto(c.socket.GetFd(), all, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	var errs []error
	for len(waiting) > 0 {
		msgs, _, err := c.socket.Receive()
		if err != nil {
			return err
		}
		for _, m := range msgs {
			if waiting[m.Header.Seq] && m.Header.Type == unix.NLMSG_ERROR {
				delete(waiting, m.Header.Seq)
				errs = append(errs, unlessGone(acknowledged(m.Data)))
			}
		}
	}
	return errors.Join(errs...)
}

// acknowledged reads struct nlmsgerr (linux/netlink.h), which begins with the negative errno.
func acknowledged(data []byte) error {
	if len(data) < 4 {
		return unix.EBADMSG
	}
	if n := -int32(nl.NativeEndian().Uint32(data)); n != 0 {
		return syscall.Errno(n)
	}
	return nil
}
