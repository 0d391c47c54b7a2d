package agent

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/store"
)

const (
	// announceDelay is when a container that was set up is published and announces its addresses,
	// or one that was removed is withdrawn. Podman is not done with it yet: work done at once would
	// take a processor from it.
	announceDelay = 5 * time.Millisecond
	// recentSetup is how long ago the setup of a container may have begun that an agent which
	// starts makes announce its addresses: the agent before it may have been killed before it did.
	// Up to 12 s of it the container may have waited for its addresses.
	recentSetup = 30 * time.Second
	// maxAnnounceTries is how often an announcement is tried, once a retryInterval.
	maxAnnounceTries = 3
	// announceTime is for how long containers announce in one turn, under the store's lock. One takes
	// a tenth of a millisecond, and an agent that starts may have hundreds to make announce.
	announceTime = 3 * time.Millisecond
)

// announcer makes containers announce their addresses, after their plugins have ended. A container
// is queued from any goroutine, and announces in a turn.
type announcer struct {
	log *slog.Logger
	// requeued tells that recent containers were queued, once in the agent's life.
	requeued bool

	mu      sync.Mutex
	pending []pendingAnnouncement
	// announcementsDisabled is set when announcements keep failing. They are left to the plugins
	// from then on.
	announcementsDisabled bool
}

// pendingAnnouncement is a container that has yet to announce its addresses.
type pendingAnnouncement struct {
	membership.EndpointKey
	tries int
}

func (p pendingAnnouncement) isUntried() bool { return p.tries == 0 }

// QueueAnnouncement makes a container announce its addresses in a turn that comes soon.
func (q *announcer) QueueAnnouncement(key membership.EndpointKey) {
	q.mu.Lock()
	defer q.mu.Unlock()
	queued := slices.ContainsFunc(q.pending, func(p pendingAnnouncement) bool { return p.EndpointKey == key })
	if !q.announcementsDisabled && !queued {
		q.pending = append(q.pending, pendingAnnouncement{EndpointKey: key})
	}
}

// Enabled tells whether containers that are queued announce their addresses.
func (q *announcer) Enabled() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.announcementsDisabled
}

// NextAttempt tells whether announcements are pending, and after what time to run a turn for them.
func (q *announcer) NextAttempt() (after time.Duration, pending bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	after = retryInterval
	if slices.ContainsFunc(q.pending, pendingAnnouncement.isUntried) {
		after = announceDelay
	}
	return after, len(q.pending) > 0
}

// AnnouncePending makes the pending containers announce their addresses, as many as there is time
// for. A failure is retried, and is logged rather than returned: it is no trouble of those who wait
// for the turn. incomplete says that networks could not be read, so a container that is not found may
// still be there.
func (q *announcer) AnnouncePending(s *hoststate.Session, networks []hoststate.Network, incomplete bool) {
	began, pending := time.Now(), q.takePending()
	for i, p := range pending {
		if i > 0 && time.Since(began) >= announceTime {
			q.requeueUntried(pending[i:])
			return
		}
		n, r, found := findRecord(networks, p.EndpointKey)
		var err error
		if found {
			err = s.Announce(n, r)
		}
		if err == nil && (found || !incomplete) {
			continue
		}
		p.tries++
		q.requeueFailed(p)
		q.log.Warn("cannot announce a container's addresses", "container", p.ContainerID, "network", p.NetworkID,
			"tries", p.tries, "err", err)
	}
}

func (q *announcer) takePending() []pendingAnnouncement {
	q.mu.Lock()
	defer q.mu.Unlock()
	pending := q.pending
	q.pending = nil
	return pending
}

// requeueUntried queues those that there was no time for, before all others.
func (q *announcer) requeueUntried(pending []pendingAnnouncement) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending = append(pending, q.pending...)
}

// requeueFailed queues an announcement that failed again, or gives up on announcements.
func (q *announcer) requeueFailed(p pendingAnnouncement) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.tries < maxAnnounceTries {
		q.pending = append(q.pending, p)
	} else {
		q.announcementsDisabled = true
	}
}

// FlushAnnouncements makes the containers announce their addresses that no turn has reached.
func (q *announcer) FlushAnnouncements(host *hoststate.Host) {
	err := q.flushSome(host)
	for err == nil && q.hasUntried() {
		time.Sleep(hoststate.LockGap)
		err = q.flushSome(host)
	}
	if err != nil {
		q.log.Warn("cannot announce containers' addresses", "err", err)
	}
}

func (q *announcer) flushSome(host *hoststate.Host) error {
	s, err := host.Begin()
	if err != nil {
		return err
	}
	networks, readErr := s.Networks()
	q.AnnouncePending(s, networks, readErr != nil)
	return s.Close()
}

// hasUntried tells whether an announcement is pending that was not tried yet.
func (q *announcer) hasUntried() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.ContainsFunc(q.pending, pendingAnnouncement.isUntried)
}

// RequeueRecent queues, in the agent's first turn, the containers that were set up so recently that
// the agent before this one may not have reached them.
func (q *announcer) RequeueRecent(s *hoststate.Session, networks []hoststate.Network) error {
	if q.requeued {
		return nil
	}
	q.requeued = true
	var errs []error
	for _, n := range networks {
		for _, r := range n.Endpoints {
			age, err := s.Age(r)
			errs = append(errs, err)
			if n.HasNames() && err == nil && age < recentSetup {
				q.QueueAnnouncement(membership.EndpointKey{NetworkID: n.ID, ContainerID: r.ContainerID})
			}
		}
	}
	return errors.Join(errs...)
}

// findRecord returns a container's network and record.
func findRecord(networks []hoststate.Network, key membership.EndpointKey) (hoststate.Network, *store.Record, bool) {
	for _, n := range networks {
		if n.ID != key.NetworkID {
			continue
		}
		for _, r := range n.Endpoints {
			if r.ContainerID == key.ContainerID {
				return n, r, true
			}
		}
	}
	return hoststate.Network{}, nil, false
}
