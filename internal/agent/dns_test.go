package agent

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
)

// wantPort checks where the network's names are answered: by the name server, by the store and by
// the firewall.
func (r *rig) wantPort(when string, want uint16) {
	r.t.Helper()
	r.names.mu.Lock()
	for _, z := range r.names.zones {
		if z.Port != want {
			r.t.Errorf("%s: names are answered on port %d, want %d", when, z.Port, want)
		}
	}
	r.names.mu.Unlock()
	s, err := r.Host.Begin()
	if err != nil {
		r.t.Fatal(err)
	}
	networks, err := s.Networks()
	if err := errors.Join(err, s.Close()); err != nil || len(networks) != 1 || networks[0].DNSPort != want {
		r.t.Errorf("%s: the store has %+v, %v, want port %d", when, networks, err, want)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last := ""
	for _, change := range r.kernel.Log {
		if strings.Contains(change, "ports_at4") && strings.Contains(change, "10.0.0.1 . udp . 53 : ") {
			last = change
		}
	}
	if redirect := fmt.Sprintf("10.0.0.1 . udp . 53 : 10.0.0.1 . %d", want); !strings.Contains(last, redirect) {
		r.t.Errorf("%s: the firewall has no %s: %s", when, redirect, last)
	}
}

func TestNamesAreAnsweredOnAPortThatNobodyTakes(t *testing.T) {
	for what, c := range map[string]struct {
		taken []uint16
		want  uint16
	}{
		"all are free":       {nil, 61053},
		"53 is taken":        {[]uint16{53}, 61053},
		"the first is taken": {[]uint16{61053}, 61054},
		"three are taken":    {[]uint16{61053, 61054, 61055}, 61056},
	} {
		withAgent(t, func(t *testing.T, r *rig) {
			r.names.take(c.taken...)
			r.setup(1)
			r.start()
			r.wantPort(what, c.want)
			sleep(time.Minute)
			r.wantPort(what+", later", c.want)
			r.finish()
		})
	}
}

func TestTakenPortsAreReported(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		for port := uint16(61053); port <= 61068; port++ {
			r.names.take(port)
		}
		r.setup(1)
		r.start()
		got := r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbStatus})
		if got.Status == nil || !strings.Contains(got.Status.Problem, "ports 61053 to 61068 are taken") {
			t.Errorf("status %+v", got.Status)
		}
		r.finish()
	})
}
