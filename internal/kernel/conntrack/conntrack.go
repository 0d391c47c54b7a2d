package conntrack

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// Conn is a connection to the connection tracking of one network namespace. It is for one
// goroutine.
type Conn struct {
	socket   *netlink.Conn
	ownAddrs OwnAddrs
}

// OwnAddrs returns those of the addresses that an interface of the namespace has.
type OwnAddrs func([]netip.Addr) ([]netip.Addr, error)

// Open connects to the namespace at nspath, or for "" to the one that the caller is in.
func Open(nspath string, ownAddrs OwnAddrs) (*Conn, error) {
	socket, err := netlink.Open(nspath, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open connection tracking: %w", err)
	}
	return &Conn{socket, ownAddrs}, nil
}

// Close closes the connection.
func (c *Conn) Close() { c.socket.Close() }

// DeleteFlows makes the kernel forget flows. A kernel that cannot list them (without
// CONFIG_NF_CT_NETLINK) keeps them until no packet has come for a while.
func (c *Conn) DeleteFlows(want kernel.DeleteFlows) error {
	err := c.deleteFlows(want)
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return nil
	case err != nil:
		return fmt.Errorf("forget flows of published ports: %w; they lead where they led before until no packet has come "+
			"for some minutes", err)
	}
	return nil
}

func (c *Conn) deleteFlows(want kernel.DeleteFlows) error {
	count, err := c.count()
	if count == 0 || err != nil {
		return err
	}
	l := listing{conn: c, lists: make(map[query][]flow), isSmall: count <= smallTable}
	stale, err := c.staleFlows(l, want.Stale)
	if err != nil {
		return err
	}
	for _, e := range want.Of {
		// Those that came to the address, and those that it began: a packet to the host's port may
		// be the answer to one of those.
		came := query{family: familyOf(e.Addr), protocol: e.Protocol, replySrc: e.Addr}
		began := query{family: familyOf(e.Addr), protocol: e.Protocol, origSrc: e.Addr}
		for _, q := range []query{came, began} {
			flows, err := l.flows(q)
			if err != nil {
				return err
			}
			stale = append(stale, flows...)
		}
	}
	return c.delete(stale)
}

// smallTable is how many flows are listed whole, once, instead of by several queries. A list of them
// takes less than another query: the kernel looks through its table for 4 to 8 ms, however empty it
// is.
const smallTable = 2000

// listing lists flows. A small table it reads once as a whole.
type listing struct {
	conn    *Conn
	lists   map[query][]flow
	isSmall bool
}

func (l listing) flows(q query) ([]flow, error) {
	wide := q
	if l.isSmall {
		wide = query{}
	}
	if _, ok := l.lists[wide]; !ok {
		all, err := l.conn.list(wide)
		if err != nil {
			return nil, err
		}
		l.lists[wide] = all
	}
	var some []flow
	for _, f := range l.lists[wide] {
		if q.matches(f) { // a kernel without filters sends all
			some = append(some, f)
		}
	}
	return some, nil
}

// staleFlows returns the flows to published ports that lead elsewhere than the ports do. What
// passes this host on its way to another is left alone.
func (c *Conn) staleFlows(l listing, published []kernel.Publication) ([]flow, error) {
	var stale []flow
	for q, some := range groupByQuery(published) {
		flows, err := l.flows(q)
		if err != nil {
			return nil, err
		}
		for _, f := range flows {
			if isStale(f, some) {
				stale = append(stale, f)
			}
		}
	}
	return c.toThisHost(stale)
}

// groupByQuery makes one query for each family and protocol. It is about one port if that suffices.
func groupByQuery(published []kernel.Publication) map[query][]kernel.Publication {
	wide := make(map[query][]kernel.Publication)
	for _, p := range published {
		q := query{family: familyOf(p.Target.Addr()), protocol: p.Protocol}
		wide[q] = append(wide[q], p)
	}
	groups := make(map[query][]kernel.Publication)
	for q, some := range wide {
		port := some[0].Host.Port()
		if !slices.ContainsFunc(some, func(p kernel.Publication) bool { return p.Host.Port() != port }) {
			q.origPort = port
		}
		groups[q] = some
	}
	return groups
}

// isStale tells whether a flow goes to a published port, and something else than the port's target
// answers. A port that is published on one address may be another container's on all.
func isStale(f flow, published []kernel.Publication) (stale bool) {
	to := f.orig.dst
	for _, p := range published {
		if to.Port() != p.Host.Port() || p.Host.Addr().IsValid() && to.Addr() != p.Host.Addr() {
			continue
		}
		if stale = f.reply.src != p.Target; p.Host.Addr().IsValid() {
			return stale
		}
	}
	return stale
}

// toThisHost returns the flows that began with a packet to an address of this host.
func (c *Conn) toThisHost(flows []flow) ([]flow, error) {
	if len(flows) == 0 {
		return nil, nil
	}
	isOwn := make(map[netip.Addr]bool) // by address that a flow went to
	for _, f := range flows {
		isOwn[f.orig.dst.Addr()] = f.orig.dst.Addr().IsLoopback()
	}
	own, err := c.ownAddrs(slices.Collect(maps.Keys(isOwn)))
	for _, a := range own {
		isOwn[a] = true
	}
	return slices.DeleteFunc(flows, func(f flow) bool { return !isOwn[f.orig.dst.Addr()] }), err
}

// messageType is the type of a message of connection tracking among those of nfnetlink.
func messageType(typ uint16) uint16 { return unix.NFNL_SUBSYS_CTNETLINK<<8 | typ }

// Messages of connection tracking, and an attribute of its statistics
// (linux/netfilter/nfnetlink_conntrack.h).
const (
	msgGet        = 1 // IPCTNL_MSG_CT_GET
	msgDelete     = 2 // IPCTNL_MSG_CT_DELETE
	msgStats      = 5 // IPCTNL_MSG_CT_GET_STATS
	globalEntries = 1 // CTA_STATS_GLOBAL_ENTRIES
)

// count returns how many flows the namespace has.
func (c *Conn) count() (uint32, error) {
	// The kernel says that more answers follow, and only an acknowledgement does.
	request := netlink.NewRequest(messageType(msgStats), unix.NLM_F_ACK)
	request.Raw(nfgenmsg(unix.AF_UNSPEC)...)
	bodies, err := c.socket.Execute(request)
	if err != nil || len(bodies) == 0 {
		return 0, err
	}
	return netlink.Uint32BE(netlink.Find(withoutHeader(bodies[0]), globalEntries)), nil
}

// list lists flows.
func (c *Conn) list(q query) (flows []flow, err error) {
	request := netlink.NewRequest(messageType(msgGet), unix.NLM_F_DUMP)
	request.Raw(nfgenmsg(q.family)...)
	request.Attrs(q.attrs()...)
	bodies, err := c.socket.Execute(request)
	for _, b := range bodies {
		if f, ok := parseFlow(withoutHeader(b)); ok {
			flows = append(flows, f)
		}
	}
	return flows, err
}

// withoutHeader returns what follows a struct nfgenmsg.
func withoutHeader(body []byte) []byte { return body[min(4, len(body)):] }

// deletionsAtOnce is how many deletions fit into a socket's usual send buffer.
const deletionsAtOnce = 256

// delete deletes flows, some of which may be gone. The id makes sure that it is the flow that was
// listed, and not a newer one with another translation.
func (c *Conn) delete(flows []flow) error {
	for some := range slices.Chunk(flows, deletionsAtOnce) {
		var batch netlink.Batch
		for _, f := range some {
			batch.Message(messageType(msgDelete), 0, func() {
				batch.Raw(nfgenmsg(familyOf(f.orig.src.Addr()))...)
				batch.Bytes(ctaTupleOrig|unix.NLA_F_NESTED, f.rawOrig)
				batch.Bytes(ctaID, f.id)
			})
		}
		refusals, err := c.socket.ExecuteBatch(&batch)
		if err != nil {
			return err
		}
		for _, r := range refusals {
			if !errors.Is(r.Err, unix.ENOENT) {
				return r.Err
			}
		}
	}
	return nil
}
