package watch

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// Removals sends, until ctx is done, what somebody removes from the caller's namespace, and who did.
// It serves people: what has to be done about it, Changes says. So to a slow reader some are lost.
//
// It waits for no burst to end. A process such as `nft` is gone a millisecond after its request, and
// then nobody can tell what it was.
func Removals(ctx context.Context) (<-chan kernel.Removal, error) {
	to := make(chan kernel.Removal, 64)
	for _, r := range []removalReports{linkRemovals, ruleRemovals} {
		f, err := netlink.Subscribe(r.Subscription)
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w", r.Name, err)
		}
		context.AfterFunc(ctx, func() { _ = f.Close() })
		go r.forward(f, to)
	}
	return to, nil
}

// removalReports are what the kernel reports of a protocol, and what of it is a removal.
type removalReports struct {
	netlink.Subscription
	removal func(netlink.Message) (kernel.Removal, bool)
}

var linkRemovals = removalReports{
	netlink.Subscription{
		Name: "removals of links", Protocol: unix.NETLINK_ROUTE,
		Groups: []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE,
			unix.RTNLGRP_IPV6_ROUTE},
		Only: []uint16{unix.RTM_DELLINK, unix.RTM_DELADDR, unix.RTM_DELROUTE},
	},
	func(m netlink.Message) (kernel.Removal, bool) {
		switch m.Type {
		case unix.RTM_DELLINK:
			return removedLink(m.Body)
		case unix.RTM_DELADDR:
			return removedAddr(m.Body)
		case unix.RTM_DELROUTE:
			return removedRoute(m.Body)
		}
		return kernel.Removal{}, false
	},
}

// removedLink reads a struct ifinfomsg with its attributes. Containers' links come and go all the
// time, and are missed by nobody. A port that leaves its bridge is another family's message.
func removedLink(body []byte) (r kernel.Removal, ok bool) {
	if len(body) < unix.SizeofIfInfomsg || body[0] != unix.AF_UNSPEC {
		return r, false
	}
	attrs := body[unix.SizeofIfInfomsg:]
	switch kernel.Kind(netlink.Text(netlink.Find(attrs, unix.IFLA_LINKINFO, unix.IFLA_INFO_KIND))) {
	case kernel.KindBridge, kernel.KindVXLAN:
		return kernel.Removal{What: kernel.RemovedLink, Object: netlink.Text(netlink.Find(attrs, unix.IFLA_IFNAME))}, true
	}
	return r, false
}

// removedAddr reads a struct ifaddrmsg with its attributes.
func removedAddr(body []byte) (r kernel.Removal, ok bool) {
	if len(body) < unix.SizeofIfAddrmsg {
		return r, false
	}
	attrs := body[unix.SizeofIfAddrmsg:]
	addr, isAddr := netip.AddrFromSlice(netlink.Find(attrs, unix.IFA_LOCAL)) // of IPv4, and of a tunnel's end
	if !isAddr {
		addr, isAddr = netip.AddrFromSlice(netlink.Find(attrs, unix.IFA_ADDRESS))
	}
	return kernel.Removal{What: kernel.RemovedAddr, Prefix: netip.PrefixFrom(addr, int(body[1]))}, isAddr
}

// removedRoute reads a struct rtmsg with its attributes. This project's routes are static ones.
func removedRoute(body []byte) (r kernel.Removal, ok bool) {
	if len(body) < unix.SizeofRtMsg || body[5] != unix.RTPROT_STATIC {
		return r, false
	}
	dst, isAddr := netip.AddrFromSlice(netlink.Find(body[unix.SizeofRtMsg:], unix.RTA_DST))
	switch {
	case isAddr:
	case body[0] == unix.AF_INET:
		dst = netip.IPv4Unspecified()
	default:
		dst = netip.IPv6Unspecified()
	}
	return kernel.Removal{What: kernel.RemovedRoute, Prefix: netip.PrefixFrom(dst, int(body[1]))}, true
}

var ruleRemovals = removalReports{
	netlink.Subscription{
		Name: "removals of nftables", Protocol: unix.NETLINK_NETFILTER, Groups: []int{nfnlgrpNftables},
		Only: []uint16{
			nftMessage(unix.NFT_MSG_DELTABLE), nftMessage(unix.NFT_MSG_DELCHAIN), nftMessage(unix.NFT_MSG_DELRULE),
			nftMessage(unix.NFT_MSG_DELSET), nftMessage(unix.NFT_MSG_DELSETELEM),
		},
	},
	func(m netlink.Message) (r kernel.Removal, ok bool) {
		what := kernel.RemovedRules
		switch m.Type & 0xff {
		case unix.NFT_MSG_DELSETELEM:
			what = kernel.RemovedElement
		case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELRULE, unix.NFT_MSG_DELSET:
		default:
			return r, false
		}
		return kernel.Removal{What: what, Object: nftText(m, unix.NFTA_TABLE_NAME)}, isOwnTable(m)
	},
}

// nftMessage is a type of message of nftables as it stands in a header.
func nftMessage(typ uint16) uint16 { return unix.NFNL_SUBSYS_NFTABLES<<8 | typ }

// forward sends removals until the file is closed. Of one process that removes many things of a kind
// from one place it sends one.
func (r removalReports) forward(f *os.File, to chan<- kernel.Removal) {
	buf := make([]byte, 64<<10)
	var senders senderCache
	for {
		n, err := f.Read(buf)
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil && !errors.Is(err, unix.ENOBUFS): // then some were lost
			time.Sleep(retryDelay)
		}
		var last kernel.Removal
		for m := range netlink.Messages(buf[:max(n, 0)]) {
			removal, ok := r.removal(m)
			if !ok {
				continue
			}
			removal.Object = strings.Clone(removal.Object)
			removal.Sender = senders.Find(r.Protocol, m.Port)
			if removal == last {
				continue
			}
			last = removal
			select {
			case to <- removal:
			default: // nobody reads
			}
		}
	}
}
