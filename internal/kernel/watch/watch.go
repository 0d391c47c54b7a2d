package watch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// Changes sends, until ctx is done, whenever a link has changed or an address was added, or a link, an address, a
// forwarding entry, a filter or a part of the firewall was deleted in the namespace that the
// caller is in; many changes are one event to a slow reader.
//
// It does not say what: whoever listens looks at everything again. That also makes up for
// messages that the kernel drops when there are too many.
func Changes(ctx context.Context) (<-chan struct{}, error) {
	changes := make(chan struct{}, 1)
	for _, s := range []subscription{routes, firewall} {
		if err := s.follow(ctx, changes); err != nil {
			return nil, fmt.Errorf("watch %s: %w", s.name, err)
		}
	}
	return changes, nil
}

// subscription is a netlink protocol with the groups of it that tell of deletions.
type subscription struct {
	name     string
	protocol int
	groups   []int
	ignored  uint16 // a type of message that never counts and comes in thousands, or 0
	counts   func(messageType uint16, body []byte) bool
}

var routes = subscription{
	name: "links", protocol: unix.NETLINK_ROUTE,
	groups:  []int{unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_TC},
	ignored: unix.RTM_NEWNEIGH,
	counts: func(typ uint16, body []byte) bool {
		switch typ {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_DELADDR, unix.RTM_NEWADDR: // an underlay may be back
			return true
		case unix.RTM_DELTFILTER, unix.RTM_DELQDISC:
			return true
		case unix.RTM_DELNEIGH:
			return !forgotten(body) && !another(body)
		}
		return false
	},
}

// forgotten tells whether a struct ndmsg is an FDB's entry that was learned and has
// aged, of any bridge of the host.
func forgotten(ndmsg []byte) bool {
	return len(ndmsg) >= unix.SizeofNdMsg && ndmsg[0] == unix.AF_BRIDGE &&
		binary.NativeEndian.Uint16(ndmsg[8:])&(unix.NUD_PERMANENT|unix.NUD_NOARP) == 0
}

// another tells whether a struct ndmsg with its attributes is a neighbour that somebody
// else has added: all that a host talks to age. The state does not tell what it was, since the
// kernel marks each as failed first (neigh_delete in net/core/neighbour.c).
func another(ndmsg []byte) bool {
	if len(ndmsg) < unix.SizeofNdMsg || ndmsg[0] == unix.AF_BRIDGE {
		return false
	}
	for typ, b := range netlink.Attrs(ndmsg[unix.SizeofNdMsg:]) {
		if typ == netlink.NDAProtocol {
			return netlink.Uint8(b) != kernel.NeighbourProtocol
		}
	}
	return true
}

// nfnlGroup is NFNLGRP_NFTABLES (linux/netfilter/nfnetlink.h).
const nfnlGroup = 7

var firewall = subscription{
	name: "nftables", protocol: unix.NETLINK_NETFILTER,
	groups: []int{nfnlGroup},
	counts: func(typ uint16, _ []byte) bool {
		switch typ & 0xff {
		case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELRULE, unix.NFT_MSG_DELSET, unix.NFT_MSG_DELSETELEM:
			return true
		}
		return false
	},
}

func (s subscription) follow(ctx context.Context, changes chan<- struct{}) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, s.protocol)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), s.name) // the runtime waits on it, and Close ends a read
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	for _, g := range s.groups {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g)
		}
	}
	if err == nil && s.ignored != 0 {
		err = ignore(fd, s.ignored)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	context.AfterFunc(ctx, func() { _ = f.Close() })
	go s.read(f, changes)
	return nil
}

// ignore has the kernel not deliver messages of a type, which would wake up the reader for each (a filter as in socket(7);
// of these protocols rtnetlink has one message to a buffer).
func ignore(fd int, typ uint16) error {
	// A filter reads numbers as they are on the wire.
	swapped := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, typ))
	const typeOffset = 4 // struct nlmsghdr
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: typeOffset},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(swapped)},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
	}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	return os.NewSyscallError("setsockopt", err)
}

const (
	// burst is how long more is waited for after a message: a container's start brings dozens, and to be woken up for
	// each would take a processor from it.
	burst = 20 * time.Millisecond
	// retry is how long a read waits after an error that may stay.
	retry = time.Second
)

// read goes on until the socket is closed: after an error, be it that there were too many messages or that the kernel had no memory,
// something may have been missed.
func (s subscription) read(f *os.File, changes chan<- struct{}) {
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		time.Sleep(burst)
		found := err == nil && s.some(buf[:n])
		more, restErr := s.rest(f, buf)
		err = errors.Join(err, restErr)
		if err == nil && !found && !more {
			continue
		}
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			time.Sleep(retry)
		}
		select {
		case changes <- struct{}{}:
		default:
		}
	}
}

// rest reads what is there, and tells whether something of it counts.
func (s subscription) rest(f *os.File, buf []byte) (found bool, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	connErr := conn.Read(func(fd uintptr) bool {
		for {
			var n int
			n, err = unix.Read(int(fd), buf)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return true
			}
			found = s.some(buf[:n]) || found
		}
	})
	if errors.Is(err, unix.EAGAIN) {
		err = nil
	}
	return found, errors.Join(err, connErr)
}

// some tells whether one of the messages counts.
func (s subscription) some(b []byte) bool {
	for m := range netlink.Messages(b) {
		if s.counts(m.Type, m.Body) {
			return true
		}
	}
	return false
}
