package gossip

import (
	"context"
	"time"

	"vxlan-driver/internal/cluster/gossip/wire"
)

// memberlist believes whoever says that a host is dead, unless the host denies it in a higher
// incarnation. Above the last one there is none. Then a host that lives would be hidden until all
// have forgotten it: half a minute, and minutes in a large cluster. So a host that was given up is
// asked whether it is there, and stays a member as long as it answers.
const (
	// doubtHellos is how many packets a host may leave unanswered, one each helloInterval. A host that
	// is gone is hidden half a second later for that. Where 30 % of the packets are lost, one that lives
	// answers none in one of 800 cases.
	doubtHellos = 10
	// doubtInterval is how often a host is asked that answered.
	doubtInterval = 2 * time.Second
	// maxDoubted hosts are asked at once. Where more are given up, a part of the network is gone, and
	// hundreds of hosts would be asked for nothing.
	maxDoubted = 32
)

// doubt is what is known of a member that memberlist has given up.
type doubt struct {
	answered   bool      // once
	unanswered int       // since then
	due        time.Time // when to ask next
}

// doubtLoop asks the hosts that are doubted.
func (p *Plane) doubtLoop(ctx context.Context) {
	for {
		select {
		case <-p.wakeDoubter:
		case <-ctx.Done():
			return
		}
		for pause := p.askDoubted(); pause > 0; pause = p.askDoubted() {
			if !waitFor(ctx, pause) {
				return
			}
		}
	}
}

// askDoubted asks those that are due, and gives up who does not answer, or has left. It returns when
// to do so again; 0: nobody is left.
func (p *Plane) askDoubted() (pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for host, d := range p.peers.doubted {
		switch {
		case p.replica.HasLeft(host), d.unanswered >= doubtHellos && !now.Before(d.due):
			p.giveUpLocked(host)
			continue
		case !now.Before(d.due):
			d.unanswered, d.due = d.unanswered+1, now.Add(helloInterval)
			p.sendGreetingLocked(host.Addr, wire.KindHello)
		}
		if wait := d.due.Sub(now); pause == 0 || wait < pause {
			pause = wait
		}
	}
	return pause
}

// noteDoubtedAnswerLocked notes that a host answers that memberlist has given up.
func (p *Plane) noteDoubtedAnswerLocked(host wire.Key) {
	d := p.peers.doubted[host]
	if d == nil {
		return
	}
	if !d.answered {
		p.log.Info("a host that others say is unreachable answers; it stays a member", "host", p.labelLocked(host))
	}
	*d = doubt{answered: true, due: time.Now().Add(doubtInterval)}
}
