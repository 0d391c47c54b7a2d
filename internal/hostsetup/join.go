package hostsetup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"vxlan-driver/internal/clusterkey"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/enrol"
)

// meetTimeout is far more than two agents need to meet.
const meetTimeout = 20 * time.Second

// JoinOptions are what a user may choose.
type JoinOptions struct {
	// SkipChecks joins although the ways between the hosts were not tried, or do not work.
	SkipChecks bool
}

// Join makes this host a member by a token. If it was interrupted, it goes on where that was.
func Join(ctx context.Context, h Host, token enrol.Token, o JoinOptions, report Report) error {
	if err := checkOtherHost(h, token); err != nil {
		return err
	}
	m, err := readMember(h)
	if err != nil {
		return err
	}
	j, resumed, err := loadJoining(h, token.Fingerprint.ID())
	if err != nil {
		return err
	}
	if err := m.checkMayJoin(j, resumed); err != nil {
		return err
	}
	if !j.Confirmed {
		if err := (&joinRun{Host: h, member: m, joining: j, report: report}).run(ctx, token, o); err != nil {
			return err
		}
	}
	if err := h.KeepAgentRunning(); err != nil {
		return fmt.Errorf(
			"this host has the key, but its agent does not start; type the command again, with the same token: %w", err)
	}
	if err := waitUntilMet(ctx, h, report); err != nil {
		return err
	}
	return h.Remove(joiningPath)
}

// checkOtherHost refuses a token of this host's own.
func checkOtherHost(h Host, token enrol.Token) error {
	all, err := h.Addresses()
	if err != nil {
		return fmt.Errorf("list this host's addresses: %w", err)
	}
	for _, a := range all {
		if slices.Contains(token.Addrs, a.Addr) {
			return fmt.Errorf("this host made the token: it has the address %v; type the command on the host that is to join", a)
		}
	}
	return nil
}

// checkMayJoin refuses a host that is a member, or has a key that is not from a join.
func (m member) checkMayJoin(j joining, resumed bool) error {
	switch {
	case resumed || len(m.keys) == 0 && !m.configured:
		return nil
	case m.configured && len(m.keys) > 0:
		return fmt.Errorf("this host is a member of a cluster already, with key %s; `vxlanctl leave` takes it out",
			m.keys[0].ID())
	case m.configured:
		return nil // of a file that is not there
	}
	return fmt.Errorf("%s has a key, and no configuration names it; move it away if it is not needed, then try again",
		m.keyPath)
}

// joinRun is the part of a join that needs the other host.
type joinRun struct {
	Host
	member
	joining
	report  Report
	session *enrol.Session
}

func (r *joinRun) run(ctx context.Context, token enrol.Token, o JoinOptions) error {
	s, err := enrol.Joiner{ID: enrol.Secret(r.Joiner), Host: r.Name()}.Enter(ctx, token)
	if err != nil {
		return err
	}
	defer s.Close()
	r.session = s
	r.report("talking to %s, which has the token's fingerprint", s.PeerLabel())
	// What contradicts is found before anything is given away.
	want := config.Membership{KeyFile: r.keyPath, Cluster: s.Offer.Cluster, Port: s.Offer.AgentPort}
	if _, _, err := want.Complete(r.texts); err != nil {
		return fmt.Errorf("configuration:\n%w", err)
	}
	if s.Offer.Done {
		return r.confirmAgain()
	}
	if err := r.checkPath(ctx, o); err != nil {
		return err
	}
	return r.take(want)
}

// confirmAgain goes on after a join of which this host did not hear that it is confirmed.
func (r *joinRun) confirmAgain() error {
	if !slices.ContainsFunc(r.keys, func(k clusterkey.Key) bool { return k.ID() == r.session.Offer.KeyID }) {
		return errors.New(
			"this host has got the key by this token and said so, but it does not have it any more; create another token " +
				"there with `vxlanctl token create`")
	}
	r.Confirmed = true
	return r.save(r.Host)
}

// errPath says that hosts would not hear each other.
var errPath = errors.New(
	"the ways between the hosts are not open, so this host has not joined; open what is named above and type the " +
		"command again, with the same token")

// checkPath tries the ways between the hosts, and says what is wrong with them.
func (r *joinRun) checkPath(ctx context.Context, o JoinOptions) error {
	if o.SkipChecks {
		r.report("not checked: whether the hosts reach each other")
		return nil
	}
	mtu, err := r.MTU(r.session.Self)
	if err != nil {
		return err
	}
	fatal, passed := false, ""
	for _, spec := range r.session.PathSpecs(mtu) {
		sides, err := r.probe(ctx, spec, mtu)
		if err != nil {
			return fmt.Errorf("try the ways between the hosts: %w", err)
		}
		for _, f := range sides.Findings() {
			level := "warning"
			if f.Fatal {
				level, fatal = "failure", true
			}
			r.report("%s: %s", level, f.Text)
		}
		if sides.TunnelPasses() {
			passed += fmt.Sprintf(", and UDP %d", spec.TunnelPort)
		}
	}
	if fatal {
		return errPath
	}
	r.report("checked: TCP and UDP %d%s, both ways", r.session.Offer.AgentPort, passed)
	return nil
}

// probe tries the ways of one spec.
func (r *joinRun) probe(ctx context.Context, spec enrol.PathSpec, mtu int) (enrol.PathSides, error) {
	path := r.OpenPath(spec)
	defer path.Close()
	return r.session.Probe(ctx, spec, path, mtu)
}

// take gets the key, stores it, and says so.
func (r *joinRun) take(want config.Membership) error {
	// From here on the token is this host's, which is known by its random number.
	if err := r.save(r.Host); err != nil {
		return err
	}
	g, err := r.session.Take()
	if err != nil {
		return err
	}
	keys, err := clusterkey.Parse([]byte(g.Keys))
	if err != nil {
		return fmt.Errorf("the other host's key: %w", err)
	}
	r.KeyWritten = true
	if err := r.save(r.Host); err != nil {
		return err
	}
	if err := r.WriteFile(r.keyPath, []byte(strings.TrimSpace(g.Keys)+"\n")); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	r.report("%s: the cluster's key, %s", r.keyPath, keys[0].ID())
	want.Seeds = g.Seeds
	if err := r.complete(r.Host, want, r.report); err != nil {
		return err
	}
	if err := r.session.Confirm(); err != nil {
		return fmt.Errorf(
			"this host has stored the key, but could not say so; type the command again, with the same token: %w", err)
	}
	r.Confirmed = true
	return r.save(r.Host)
}

// waitUntilMet waits until the agents hear each other.
func waitUntilMet(ctx context.Context, h Host, report Report) error {
	met := ""
	ok := waitUntil(ctx, meetTimeout, func() bool {
		s, err := h.Status()
		if err != nil {
			return false
		}
		for _, c := range s.Clusters {
			for _, host := range c.Hosts {
				if host.Reachable {
					met = host.Name
					return true
				}
			}
		}
		return false
	})
	if !ok {
		return fmt.Errorf(
			"this host has the key, but its agent and the others have not met within %v; `vxlanctl status` says why. Then "+
				"type the command again, with the same token", meetTimeout)
	}
	report("the agents have met: %s answers", met)
	return nil
}
