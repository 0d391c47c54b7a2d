package gossip

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster/gossip/wire"
)

// peers is what this host knows of where other hosts listen, and of who may speak. It does no I/O
// and has no lock of its own, as Plane.mu guards it.
type peers struct {
	self    netip.AddrPort
	seeds   []netip.AddrPort
	allowed map[netip.Addr]bool // nil: all, as they have the key
	members map[wire.Key]memberlist.Node
	lost    map[wire.Key]bool // unreachable hosts, to find them again
	// doubted are members that memberlist has given up, to find them again, too.
	doubted map[wire.Key]*doubt
	// unknownSenders sent messages of ours and are not members. Either the news that they are has
	// not arrived, or they know this host from before its restart.
	unknownSenders map[wire.Key]bool

	// left are seeds whose host has left for good. They are asked all the same, as hosts come again.
	left map[netip.Addr]bool

	asked    map[netip.AddrPort]bool // seeds that a round has asked
	awaited  map[netip.AddrPort]bool // hosts that were asked whether they are there, and if they answered
	attempts map[netip.AddrPort]*attempt
	// What each message needs to know of all members, until these change; nil and 0: to be found
	// out.
	list   []wire.Key
	format uint8
}

func newPeers(self netip.AddrPort) *peers {
	return &peers{
		self:           self,
		members:        make(map[wire.Key]memberlist.Node),
		lost:           make(map[wire.Key]bool),
		doubted:        make(map[wire.Key]*doubt),
		unknownSenders: make(map[wire.Key]bool),
		left:           make(map[netip.Addr]bool),
		asked:          make(map[netip.AddrPort]bool),
		awaited:        make(map[netip.AddrPort]bool),
	}
}

// setSeeds tells whether the seeds are others than before. Those that come again are asked anew.
func (p *peers) setSeeds(seeds []netip.AddrPort) (changed bool) {
	if slices.Equal(p.seeds, seeds) {
		return false
	}
	p.seeds = seeds
	isSeed := make(map[netip.AddrPort]bool, len(seeds))
	for _, seed := range seeds {
		isSeed[seed] = true
	}
	maps.DeleteFunc(p.asked, func(seed netip.AddrPort, _ bool) bool { return !isSeed[seed] })
	return true
}

// unaskedSeeds returns the seeds that no round has asked yet.
func (p *peers) unaskedSeeds() (unasked []netip.AddrPort) {
	for _, seed := range p.seeds {
		if !p.asked[seed] && seed != p.self {
			unasked = append(unasked, seed)
		}
	}
	return unasked
}

// hasSeeds tells whether there is another host to ask, and it has not left.
func (p *peers) hasSeeds() bool {
	return slices.ContainsFunc(p.seeds, func(seed netip.AddrPort) bool { return seed != p.self && !p.left[seed.Addr()] })
}

// answered tells whether a host has answered that it is there.
func (p *peers) answered(host netip.AddrPort) bool { return p.awaited[host] }

// allowOnlySeedsAnd refuses all hosts but the seeds, this one and the given ones.
func (p *peers) allowOnlySeedsAnd(others []netip.Addr) {
	p.allowed = map[netip.Addr]bool{p.self.Addr(): true}
	for _, seed := range p.seeds {
		p.allowed[seed.Addr()] = true
	}
	for _, addr := range others {
		p.allowed[addr] = true
	}
}

// permits tells whether messages of a host with the address are accepted at all.
func (p *peers) permits(addr netip.Addr) bool { return p.allowed == nil || p.allowed[addr] }

// nodeAddr returns where a node of memberlist listens, if it has an address.
func nodeAddr(n memberlist.Node) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(addr.Unmap(), n.Port)
}

// nodeKey returns the key of a member, whose name NotifyAlive has checked.
func nodeKey(n *memberlist.Node) wire.Key {
	key, _ := wire.ParseKey(n.Name)
	return key
}

// setMember notes a member, or what is new of it. It keeps a copy, as the library changes its own.
func (p *peers) setMember(host wire.Key, n memberlist.Node) {
	known := p.isMember(host)
	p.members[host] = n
	delete(p.left, host.Addr.Addr())
	if known || len(p.members) == 1 {
		p.list, p.format = nil, 0
		return
	}
	if p.list != nil {
		p.list = append(p.list, host)
	}
	if p.format != 0 {
		p.format = lowerFormat(p.format, n)
	}
}

func (p *peers) deleteMember(host wire.Key) {
	delete(p.members, host)
	delete(p.doubted, host)
	p.list, p.format = nil, 0
}

// listMembers returns the members. The list must not be changed.
func (p *peers) listMembers() []wire.Key {
	if p.list == nil {
		p.list = slices.Collect(maps.Keys(p.members))
	}
	return p.list
}

// commonFormat returns the latest format of messages that this host and all members accept. Alone,
// it is the oldest: whoever is met next may accept no other.
func (p *peers) commonFormat(own wire.Range) uint8 {
	if p.format == 0 {
		p.format = p.findCommonFormat(own)
	}
	return p.format
}

func (p *peers) findCommonFormat(own wire.Range) uint8 {
	if len(p.members) == 0 {
		return own.Min
	}
	latest := own.Max
	for _, m := range p.members {
		latest = lowerFormat(latest, m)
	}
	return max(latest, own.Min)
}

func (p *peers) isMember(host wire.Key) bool {
	_, ok := p.members[host]
	return ok
}

// lowerFormat returns a format, or the latest that a member accepts if that is lower.
func lowerFormat(format uint8, m memberlist.Node) uint8 {
	if theirs, err := wire.DecodeRange(m.Meta); err == nil {
		format = min(format, theirs.Max)
	}
	return format
}

// memberlistNode returns what memberlist needs to send to a host, which may not be a member.
func (p *peers) memberlistNode(host wire.Key) memberlist.Node {
	if m, ok := p.members[host]; ok {
		return m
	}
	return memberlist.Node{Name: host.String(), Addr: host.Addr.Addr().AsSlice(), Port: host.Addr.Port()}
}

// noteUnknownSender remembers a sender to be joined. It tells whether the sender is permitted, and
// whether there was room to remember it.
func (p *peers) noteUnknownSender(host wire.Key) (permitted, noted bool) {
	if host.Addr == p.self || !p.permits(host.Addr.Addr()) {
		return false, false
	}
	if len(p.unknownSenders) >= maxRejoinsAtOnce {
		return true, false
	}
	p.unknownSenders[host] = true
	return true, true
}

// missing returns the hosts that should be members and are not: unknown senders, seeds, and hosts
// that were members.
func (p *peers) missing() map[netip.AddrPort]bool {
	missing := make(map[netip.AddrPort]bool)
	for _, seed := range p.seeds {
		missing[seed] = true
	}
	for host := range p.lost {
		if p.permits(host.Addr.Addr()) {
			missing[host.Addr] = true
		}
	}
	for host := range p.members {
		delete(missing, host.Addr)
	}
	for host := range p.doubted {
		missing[host.Addr] = true
	}
	for host := range p.unknownSenders {
		// A host that was installed anew has the address of a member that is gone.
		if !p.isMember(host) {
			missing[host.Addr] = true
		}
	}
	delete(missing, p.self)
	return missing
}
