package cluster

import (
	"context"
	"net/netip"
	"time"
)

// Plane is a control plane: it publishes what this host has and collects what the others have.
// All methods but Run may be called at any time, also before Run, and from any goroutine.
//
// A plane may also be a Claimer, a Confirmer, a Forgetter, an Asker, a ContactReporter and a
// PublicationReporter.
type Plane interface {
	// Run connects and works until ctx is done. It ends without a leave: the others keep this
	// host's entries as unreachable, and use them again when it is back. So this is also the end of
	// an agent that is only restarted.
	Run(ctx context.Context) error
	// Set publishes what this host has. It may be repeated. Nothing is published before the first
	// Set, so that an agent that starts does not withdraw what its predecessor announced. What is
	// beyond a limit is left out and the rest is published: the error is an OmittedError.
	Set(Local) error
	// Snapshot returns what the other hosts have.
	Snapshot() Snapshot
	// Health tells how far the snapshot can be relied on.
	Health() Health
	// Changed returns a channel that is closed when there is a newer Snapshot or Health. Get the
	// channel first, then the others, so that no change is missed. To a slow reader many changes
	// are one event.
	Changed() <-chan struct{}
	// Leave takes this host out of the cluster: the others forget it at once. It is for a host that
	// goes for good. Run returns soon afterwards.
	Leave(ctx context.Context) error
}

// Kind is a kind of planes.
type Kind struct {
	Name    string
	Carries Capabilities
	// PerAddress: there is a plane for each address by which a network's hosts talk. Otherwise one
	// serves all networks of a host.
	PerAddress bool
	// HasServers: hosts talk to servers. While none answers, it makes no sense to wait for other hosts.
	HasServers bool
	// New makes the plane that talks from the address, which is zero where one serves all.
	New func(netip.Addr) (Plane, error)
}

// Capabilities are what a kind of planes carries, besides VTEPs. What it lacks is made up for: an
// agent floods and learns where a plane does not tell it.
type Capabilities struct {
	// Members: it names all hosts that have a container on a network. So a host that is reachable
	// and not named has none.
	Members bool
	// ExactForwarding: it carries the MAC of every container, so nothing has to be learned.
	ExactForwarding bool
	// Owners: it carries the ids of containers, so an address or a MAC has an owner with a name.
	Owners bool
	// Names: it carries the names of containers.
	Names bool
}

// And returns what both kinds of planes carry.
func (c Capabilities) And(o Capabilities) Capabilities {
	return Capabilities{
		Members: c.Members && o.Members, ExactForwarding: c.ExactForwarding && o.ExactForwarding,
		Owners: c.Owners && o.Owners, Names: c.Names && o.Names,
	}
}

// Local is what a host tells its plane.
type Local struct {
	Memberships []Membership
	// Listed are other hosts that the networks and the configuration name. A plane without servers
	// finds the others by them. One without keys accepts no others.
	Listed []netip.AddrPort
}

// Confirmer is a plane that can tell when other hosts have followed what this one published.
type Confirmer interface {
	// Confirm waits until the other hosts of a network follow what this host last Set: frames from
	// them find this host. It returns the hosts that have not said so by the time that ctx is done.
	Confirm(ctx context.Context, network NetworkKey) (silent []string)
	// AckRequested has a value when another host waits in Confirm for this one.
	AckRequested() <-chan struct{}
	// Acknowledge tells those hosts that this host follows a snapshot.
	Acknowledge(Snapshot)
}

// Forgetter is a plane that keeps what an unreachable host had, and can give it up.
type Forgetter interface {
	// ForgetHost takes a host that is gone for good out of the cluster, on all hosts: what it had
	// is free. It refuses a host that is reachable. If the host is back one day, it is seen again.
	ForgetHost(Host) error
}

// PublicationReporter is a plane that needs time to publish what was Set, or may be unable to.
type PublicationReporter interface {
	// Unpublished says for people what of a network was Set and is not published, and why. It is nothing
	// once all is published, and this host holds all of its addresses.
	Unpublished(NetworkKey) []string
}

// ContactReporter is a plane that measures its contact to the other hosts.
type ContactReporter interface {
	// Contact returns what is known of the contact to a host of the snapshot.
	Contact(Host) Contact
}

// Contact is this host's contact to another one. Times are by package boottime.
type Contact struct {
	// Since is when the host became reachable, or when this agent first found it. Zero: it is not
	// reachable, or the plane does not know.
	Since time.Time
	// RoundTrip is how long the last message took that was answered, with its answer. 0: none was.
	RoundTrip time.Duration
	Measured  time.Time // when that was
}
