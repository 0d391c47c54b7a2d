package cluster

import "context"

// Plane is a control plane. All methods but Run may be called at any time,
// before Run too, and from any goroutine.
type Plane interface {
	// Run connects and works until ctx is done, and then goes silently: the
	// others keep this host's entries, hidden, and show them again when it is
	// back. So an agent that is only restarted ends here.
	Run(ctx context.Context) error
	// Ready is closed once the source is connected, or has found that there is
	// nobody to connect to yet.
	Ready() <-chan struct{}
	// Set says what this host has; it may be repeated. Nothing is said of this
	// host before the first Set, so that an agent that starts does not
	// withdraw what the one before it announced.
	Set(local []Membership) error
	// Snapshot returns what the other hosts have.
	Snapshot() Snapshot
	// Changed returns a channel that is closed when Snapshot has something new.
	// Get the channel first, then the snapshot: no change is missed then, and
	// many changes are one event to a slow reader.
	Changed() <-chan struct{}
	// Leave takes this host out: the others forget it at once. It is for a host
	// that goes for good. Run returns soon afterwards.
	Leave(ctx context.Context) error
}
