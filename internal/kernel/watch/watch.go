package watch

import (
	"context"
	"encoding/binary"
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

// Changes sends, until ctx is done, whenever something may be missing in the caller's namespace.
// That is when a link or an IPsec policy has changed or an address was added, and when a link, an address, a filter or
// a part of this project's firewall was deleted. Of the kernel parameters it reports forwarding and
// rp_filter, and no other that this project sets. To a slow reader many changes are one event.
//
// What this process itself takes out of the firewall is not reported.
//
// It does not say what has changed: the reader checks everything again. That also makes up for
// messages that the kernel drops when there are too many. Only of forwarding entries it says which
// were deleted, as far as these are few: the reader deletes some itself all the time.
func Changes(ctx context.Context) (changes <-chan struct{}, deleted <-chan kernel.ForwardingKeys, err error) {
	to := newOutput()
	for _, r := range []reports{linkReports, firewallReports(processName()), policyReports} {
		f, err := netlink.Subscribe(r.Subscription)
		if r.Protocol == unix.NETLINK_XFRM && errors.Is(err, unix.EPROTONOSUPPORT) {
			continue // the kernel has no IPsec
		}
		if err != nil {
			return nil, nil, fmt.Errorf("watch %s: %w", r.Name, err)
		}
		context.AfterFunc(ctx, func() { _ = f.Close() })
		go r.forward(f, to)
	}
	return to.changes, to.deleted, nil
}

// output is what a reader gets.
type output struct {
	changes chan struct{}
	deleted chan kernel.ForwardingKeys
}

func newOutput() output {
	return output{make(chan struct{}, 1), make(chan kernel.ForwardingKeys, 8)}
}

// maxNamed is how many entries are named of a burst. To list all takes less time than to ask for
// more.
const maxNamed = 500

// Send sends what was found in a burst. If it is too much to be named, it is a change.
func (o output) Send(changed bool, deleted kernel.ForwardingKeys) {
	switch named := deleted.Count(); {
	case named > maxNamed:
		changed = true
	case named > 0:
		select {
		case o.deleted <- deleted:
		default:
			changed = true
		}
	}
	if changed {
		select {
		case o.changes <- struct{}{}:
		default:
		}
	}
}

// ForeignRules sends, until ctx is done, whenever rules, chains or sets of other programs'
// firewalls have changed.
func ForeignRules(ctx context.Context) (<-chan struct{}, error) {
	to := newOutput()
	f, err := netlink.Subscribe(ruleReports.Subscription)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", ruleReports.Name, err)
	}
	context.AfterFunc(ctx, func() { _ = f.Close() })
	go ruleReports.forward(f, to)
	return to.changes, nil
}

// reports are what the kernel reports of a protocol, and which of it matters.
type reports struct {
	netlink.Subscription
	matters func(netlink.Message) bool
	// deleted adds the forwarding entry that a message says was deleted; nil: none does.
	deleted func(netlink.Message, *kernel.ForwardingKeys)
}

var linkReports = reports{
	netlink.Subscription{
		Name: "links", Protocol: unix.NETLINK_ROUTE,
		Groups: []int{unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
			unix.RTNLGRP_TC,
			unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE},
		Ignored: unix.RTM_NEWNEIGH, // comes in thousands
	},
	func(m netlink.Message) bool {
		switch m.Type {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_DELADDR, unix.RTM_NEWADDR: // an underlay may be back
			return true
		case unix.RTM_DELTFILTER, unix.RTM_DELQDISC:
			return true
		case unix.RTM_NEWRULE, unix.RTM_DELRULE: // eBPF programs do not follow all of them
			return true
		case unix.RTM_NEWQDISC: // what limits a container's rate must not be passed by; clsact is the fast path's own
			return len(m.Body) >= sizeofTCMsg && netlink.Text(netlink.Find(m.Body[sizeofTCMsg:], tcaKind)) != "clsact"
		case unix.RTM_NEWTFILTER: // nor must others' filters
			return len(m.Body) >= sizeofTCMsg && !kernel.IsFastPathPriority(uint16(netlink.Uint32(m.Body[offsetTCInfo:])>>16))
		case unix.RTM_NEWNETCONF: // of forwarding or rp_filter, mostly
			return true
		}
		return false
	},
	func(m netlink.Message, keys *kernel.ForwardingKeys) {
		if m.Type == unix.RTM_DELNEIGH && len(m.Body) >= unix.SizeofNdMsg && !isAgedFDBEntry(m.Body) &&
			!isForeignNeighbour(m.Body) {
			addKey(keys, m.Body)
		}
	},
}

// Of struct tcmsg and its attributes (linux/rtnetlink.h).
const (
	sizeofTCMsg  = 20
	offsetTCInfo = 16 // a filter's priority and protocol
	tcaKind      = 1
)

// addKey adds the entry that a struct ndmsg with its attributes is about. Other bridges have such
// entries too; whoever looks at their names finds nothing amiss.
func addKey(keys *kernel.ForwardingKeys, ndmsg []byte) {
	attrs := ndmsg[unix.SizeofNdMsg:]
	addr, _ := netip.AddrFromSlice(netlink.Find(attrs, unix.NDA_DST))
	mac := netlink.Find(attrs, unix.NDA_LLADDR)
	switch {
	case ndmsg[0] != unix.AF_BRIDGE:
		keys.Addrs = append(keys.Addrs, addr)
	case len(mac) != len(kernel.MAC{}):
	case kernel.MAC(mac).IsZero():
		keys.Flood = append(keys.Flood, kernel.FDB{Dst: addr})
	default:
		keys.MACs = append(keys.MACs, kernel.MAC(mac))
	}
}

// isAgedFDBEntry tells whether a struct ndmsg is an entry of the FDB of any bridge that was learned
// and has aged.
func isAgedFDBEntry(ndmsg []byte) bool {
	return len(ndmsg) >= unix.SizeofNdMsg && ndmsg[0] == unix.AF_BRIDGE &&
		binary.NativeEndian.Uint16(ndmsg[8:])&(unix.NUD_PERMANENT|unix.NUD_NOARP) == 0
}

// isForeignNeighbour tells whether a struct ndmsg with its attributes is a neighbour that this
// project has not added, such as one that has aged. The state does not tell, since the kernel marks
// each neighbour as failed before it deletes it (neigh_delete in net/core/neighbour.c).
func isForeignNeighbour(ndmsg []byte) bool {
	if len(ndmsg) < unix.SizeofNdMsg || ndmsg[0] == unix.AF_BRIDGE {
		return false
	}
	return netlink.Uint8(netlink.Find(ndmsg[unix.SizeofNdMsg:], netlink.NDAProtocol)) != kernel.NeighbourProtocol
}

// xfrmnlgrpPolicy is XFRMNLGRP_POLICY (linux/xfrm.h).
const xfrmnlgrpPolicy = 4

// policyReports are of IPsec policies. eBPF programs must not send around one.
var policyReports = reports{
	Subscription: netlink.Subscription{
		Name: "IPsec policies", Protocol: unix.NETLINK_XFRM, Groups: []int{xfrmnlgrpPolicy},
	},
	matters: func(netlink.Message) bool { return true },
}

// nfnlgrpNftables is NFNLGRP_NFTABLES (linux/netfilter/nfnetlink.h).
const nfnlgrpNftables = 7

var nftSubscription = netlink.Subscription{
	Name: "nftables", Protocol: unix.NETLINK_NETFILTER,
	Groups: []int{nfnlgrpNftables},
}

// firewallReports are of other processes than the one of that name. The kernel tells of all changes
// of a transaction, and then who made it. With each host that joins or leaves a network the agent
// deletes elements itself, and to look at everything then takes long beside many containers.
func firewallReports(own string) reports {
	changed := false // by the transaction whose end is not told yet
	return reports{Subscription: nftSubscription, matters: func(m netlink.Message) bool {
		switch m.Type & 0xff {
		case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELRULE, unix.NFT_MSG_DELSET, unix.NFT_MSG_DELSETELEM:
			changed = changed || isOwnTable(m) || isDockerChain(m) || isForeignDeviceChain(m)
		case unix.NFT_MSG_NEWCHAIN: // networks may want rules in it, or it must not be passed by
			changed = changed || isDockerChain(m) || isForeignDeviceChain(m)
		case unix.NFT_MSG_NEWGEN:
			matters := changed && (own == "" || nftText(m, unix.NFTA_GEN_PROC_NAME) != own)
			changed = false
			return matters
		}
		return false
	}}
}

// processName is this process's, as the kernel tells others of it, or "".
func processName() string {
	name, _ := os.ReadFile("/proc/self/comm") // else all processes are others
	return strings.TrimSuffix(string(name), "\n")
}

// isOwnTable tells whether a message of nftables is about a table of this project. Docker,
// firewalld and kube-proxy delete from theirs all the time. The table's name is attribute 1 of a
// table and of all that is in one (NFTA_TABLE_NAME, NFTA_RULE_TABLE, …).
func isOwnTable(m netlink.Message) bool {
	return strings.HasPrefix(nftText(m, unix.NFTA_TABLE_NAME), kernel.FirewallTable)
}

// isForeignDeviceChain tells whether a message is about another program's chain for the packets of a
// device. The eBPF programs leave such a device alone.
func isForeignDeviceChain(m netlink.Message) bool {
	isChain := m.Type&0xff == unix.NFT_MSG_NEWCHAIN || m.Type&0xff == unix.NFT_MSG_DELCHAIN
	if !isChain || len(m.Body) < nfgenmsgLen || isOwnTable(m) {
		return false
	}
	switch m.Body[0] {
	case unix.NFPROTO_NETDEV:
		return true
	case unix.NFPROTO_INET: // the hook ingress; of a chain that goes some kernels do not tell it
		hook := netlink.Find(m.Body[nfgenmsgLen:], unix.NFTA_CHAIN_HOOK, unix.NFTA_HOOK_HOOKNUM)
		return len(hook) == 4 && netlink.Uint32BE(hook) == nfInetIngress
	}
	return false
}

// isDockerChain tells whether a message is about the chain in which networks may want rules, or
// about a rule in it.
func isDockerChain(m netlink.Message) bool {
	switch m.Type & 0xff {
	case unix.NFT_MSG_DELRULE:
		return nftText(m, unix.NFTA_RULE_CHAIN) == kernel.DockerChain
	case unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN:
		return nftText(m, unix.NFTA_CHAIN_NAME) == kernel.DockerChain
	}
	return false
}

// nfInetIngress is NF_INET_INGRESS (linux/netfilter.h, Linux 5.10).
const nfInetIngress = unix.NF_INET_NUMHOOKS

// nfgenmsgLen is the length of a struct nfgenmsg.
const nfgenmsgLen = 4

// nftText is a text attribute of a message of nftables, which begins with a struct nfgenmsg.
func nftText(m netlink.Message, attr uint16) string {
	return netlink.Text(netlink.Find(m.Body[min(nfgenmsgLen, len(m.Body)):], attr))
}

// ruleReports are of other programs' tables.
var ruleReports = reports{Subscription: nftSubscription, matters: func(m netlink.Message) bool {
	switch m.Type & 0xff {
	case unix.NFT_MSG_NEWGEN, unix.NFT_MSG_NEWTABLE:
		return false
	}
	return len(m.Body) > 0 && !isOwnTable(m)
}}

const (
	// burst is how long the reader waits for the rest of a burst after its first message. A
	// container's start causes dozens of messages, and waking up for each would take a processor
	// from it.
	burst = 20 * time.Millisecond
	// retryDelay is how long a read waits after an error that may stay.
	retryDelay = time.Second
)

// forward sends for each burst of reports with something that matters, until the file is closed. It
// also sends after an error: where there were too many messages, or the kernel had no memory,
// something may have been missed.
func (r reports) forward(f *os.File, to output) {
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		time.Sleep(burst)
		var deleted kernel.ForwardingKeys
		found := err == nil && r.anyMatters(buf[:n], &deleted)
		more, restErr := r.drain(f, buf, &deleted)
		err = errors.Join(err, restErr)
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			time.Sleep(retryDelay)
		}
		to.Send(found || more || err != nil, deleted)
	}
}

// drain reads what is there, and tells whether something of it matters.
func (r reports) drain(f *os.File, buf []byte, deleted *kernel.ForwardingKeys) (found bool, err error) {
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
			found = r.anyMatters(buf[:n], deleted) || found
		}
	})
	if errors.Is(err, unix.EAGAIN) {
		err = nil
	}
	return found, errors.Join(err, connErr)
}

// anyMatters tells whether a message matters, and adds the entries that were deleted.
func (r reports) anyMatters(b []byte, deleted *kernel.ForwardingKeys) (found bool) {
	for m := range netlink.Messages(b) {
		found = r.matters(m) || found
		if r.deleted != nil {
			r.deleted(m, deleted)
		}
	}
	return found
}
