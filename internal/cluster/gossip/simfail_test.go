package gossip

import "time"

// failDetection measures how long hosts take to hide a host that vanished, and to show it when it
// is back.
func (s *sim) failDetection(rounds int) (hidden, shown []time.Duration) {
	for range rounds {
		h := s.hosts[s.rng.IntN(len(s.hosts))]
		for !h.up {
			h = s.hosts[s.rng.IntN(len(s.hosts))]
		}
		s.stop(h)
		hidden = append(hidden, s.untilAllSee(h, false)...)
		s.start(h)
		shown = append(shown, s.untilAllSee(h, true)...)
		time.Sleep(20 * time.Second)
	}
	return hidden, shown
}

// untilAllSee returns how long each other host took to see a host as reachable, or not. It looks
// every 10 ms, for a minute at most.
func (s *sim) untilAllSee(h *simHost, reachable bool) (took []time.Duration) {
	begin := time.Now()
	waiting := make(map[*simHost]bool)
	for _, o := range s.hosts {
		if o != h && o.up {
			waiting[o] = true
		}
	}
	for len(waiting) > 0 {
		if time.Since(begin) > time.Minute {
			s.t.Errorf("%d hosts do not see that %s is reachable: %v", len(waiting), h.cfg.Host.Name(), reachable)
			return took
		}
		for o := range waiting {
			if seen, ok := o.Snapshot().Find(h.cfg.Host.Name()); ok && seen.Reachable() == reachable {
				took = append(took, time.Since(begin))
				delete(waiting, o)
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return took
}
