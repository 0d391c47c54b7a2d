package cluster

import "context"

// Plane is a control plane: it publishes this host's memberships and collects those of the others.
// All methods but Run may be called at any time, also before Run, and from any goroutine.
type Plane interface {
	// Run connects and works until ctx is done. It ends without a leave: the others keep this
	// host's entries as unreachable, and use them again when it is back. So this is also the end of
	// an agent that is only restarted.
	Run(ctx context.Context) error
	// Ready is closed once the plane is connected, or has found that there is nobody to connect to
	// yet.
	Ready() <-chan struct{}
	// Set publishes this host's memberships. It may be repeated. Nothing is published before the
	// first Set, so that an agent that starts does not withdraw what its predecessor announced.
	Set(local []Membership) error
	// Snapshot returns the other hosts' memberships.
	Snapshot() Snapshot
	// Changed returns a channel that is closed when there is a newer Snapshot. Get the channel
	// first, then the snapshot, so that no change is missed. To a slow reader many changes are one
	// event.
	Changed() <-chan struct{}
	// Confirm waits until the other hosts of a network follow what this host last Set: frames from
	// them find this host. It returns the hosts that have not said so by the time that ctx is done.
	Confirm(ctx context.Context, network NetworkKey) (silent []string)
	// AckRequested has a value when another host waits in Confirm for this one.
	AckRequested() <-chan struct{}
	// Acknowledge tells those hosts that this host follows a snapshot.
	Acknowledge(Snapshot)
	// Leave takes this host out of the cluster: the others forget it at once. It is for a host that
	// goes for good. Run returns soon afterwards.
	Leave(ctx context.Context) error
}
