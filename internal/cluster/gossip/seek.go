package gossip

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Back-off of looking for hosts that are not members. Its end bounds how long two
// halves of a healed network may not know of each other; what it costs is a
// connection or a few, each time, to hosts that are down.
const (
	seekFirst = time.Second
	seekLast  = 15 * time.Second
	// seekPause lets news that a host is a member, or is back, come by itself.
	seekPause = 300 * time.Millisecond
	seekAtOne = 8 // hosts asked at a time: any of the other half is enough
)

// seekLoop joins seeds, hosts that were members, and those that think they are,
// while they are not. memberlist
// alone would not: it drops a dead host for good after half a minute.
func (s *Source) seekLoop(ctx context.Context) {
	backoff := seekFirst
	for ctx.Err() == nil {
		missing := s.missing()
		found := s.join(ctx, missing)
		s.readyOnce.Do(func() { close(s.ready) })
		if found {
			backoff = seekFirst
		}
		// Not all hosts of one half shall try together.
		wait := time.NewTimer(backoff/2 + rand.N(backoff))
		select {
		case <-wait.C:
			backoff = min(2*backoff, seekLast)
		case <-s.seek:
			backoff = seekFirst
			pause(ctx, seekPause)
		case <-ctx.Done():
		}
		wait.Stop()
	}
}

// missing returns some of the hosts that should be members and are not.
func (s *Source) missing() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving {
		return nil
	}
	present := map[netip.AddrPort]bool{s.cfg.Bind: true}
	for _, m := range s.members {
		present[addrOfNode(m)] = true
	}
	var all []netip.AddrPort
	add := func(addr netip.AddrPort) {
		if !present[addr] {
			present[addr] = true
			all = append(all, addr)
		}
	}
	for addr := range s.strangers {
		add(addr)
	}
	clear(s.strangers)
	for _, seed := range s.seeds {
		add(seed)
	}
	for _, addr := range s.lostAddr {
		if s.permitsLocked(addr.Addr()) {
			add(addr)
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return slices.Clip(all[:min(len(all), seekAtOne)])
}

// join asks all of the hosts at once, and tells whether one answered. The source
// is ready with the first that does.
func (s *Source) join(ctx context.Context, hosts []netip.AddrPort) (found bool) {
	var asked sync.WaitGroup
	var mu sync.Mutex
	for _, host := range hosts {
		asked.Go(func() {
			if _, err := s.ml.Join([]string{host.String()}); err != nil {
				if ctx.Err() == nil { // else Run ends, and the transport with it
					s.notJoined(host, err)
				}
				return
			}
			s.readyOnce.Do(func() { close(s.ready) })
			mu.Lock()
			found = true
			mu.Unlock()
		})
	}
	asked.Wait()
	return found
}

// notJoined counts why a host could not be joined: a refusal, of this host's or
// the other's, or no answer.
func (s *Source) notJoined(host netip.AddrPort, err error) {
	text := strings.Join(strings.Fields(err.Error()), " ") // the library writes a list
	why, ok := classify(text)
	if !ok {
		why = noAnswer
	}
	s.counters.refuse(why, "join "+host.String()+": "+text)
}
