package addrclaim

import (
	"context"
	"net/netip"
	"slices"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/membership"
)

// beginAssign waits until no other request for a container is under way. The caller must call end.
func (c *Claims) beginAssign(ctx context.Context, key membership.EndpointKey) (end func(), err error) {
	ended := make(chan struct{})
	for before := c.takeTurn(key, ended); before != nil; before = c.takeTurn(key, ended) {
		select {
		case <-before:
		case <-ctx.Done():
			return nil, ErrShuttingDown
		}
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.assigning, key)
		close(ended)
	}, nil
}

// takeTurn makes a request for a container the one that is under way, unless there is another one.
// Then it returns what is closed when that has ended.
func (c *Claims) takeTurn(key membership.EndpointKey, ended chan struct{}) (before chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before := c.assigning[key]; before != nil {
		return before
	}
	if c.assigning == nil {
		c.assigning = make(map[membership.EndpointKey]chan struct{})
	}
	c.assigning[key] = ended
	return nil
}

// grantedAddrs returns what an earlier request for the container was granted, if it fits this one.
// The claim then lasts as long as a new one.
func (c *Claims) grantedAddrs(r Request) []netip.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	claim, ok := c.active[r.EndpointKey]
	isOther := func(a netip.Addr) bool { return !slices.Contains(claim.addrs, a) }
	if !ok || !claim.granted || claim.hasExpired() || slices.ContainsFunc(r.Wanted, isOther) {
		return nil
	}
	claim.since = boottime.Now()
	c.active[r.EndpointKey] = claim
	return claim.addrs
}

func (c *Claims) noteGranted(key membership.EndpointKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if claim, ok := c.active[key]; ok {
		claim.granted = true
		c.active[key] = claim
	}
}
