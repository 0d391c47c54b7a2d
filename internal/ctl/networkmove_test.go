package ctl

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/agentapi"
)

// MoveNetwork of a host whose network blue is on gossip.
func (h fakeHost) MoveNetwork(name string,
	change func(map[string]string) (map[string]string, error)) (ChangedNetwork, error) {
	before := map[string]string{"discovery": "gossip"}
	after, err := change(maps.Clone(before))
	if err = errors.Join(err, h.err); err != nil {
		return ChangedNetwork{}, err
	}
	return ChangedNetwork{Name: name, Before: before, After: after}, CheckMove(before, after)
}

// moveHost has a network blue that moves.
type moveHost struct {
	fakeHost
	options  map[string]string
	move     agentapi.MoveStatus // but for From and To
	readyAt  time.Time           // when nothing is missing here any more
	noAgent  bool
	followed error // how the agent follows the next change
}

func (h *moveHost) MoveNetwork(name string,
	change func(map[string]string) (map[string]string, error)) (ChangedNetwork, error) {
	before := h.options
	after, err := change(maps.Clone(before))
	if err != nil {
		return ChangedNetwork{}, err
	}
	h.options = after
	err, h.followed = h.followed, nil
	return ChangedNetwork{Name: name, Before: before, After: after}, err
}

func (h *moveHost) Status() (agentapi.StatusReport, error) {
	if h.noAgent {
		return agentapi.StatusReport{}, agentapi.ErrNotRunning
	}
	n := agentapi.NetworkStatus{Name: "blue"}
	if also := h.options["discovery_also"]; also != "" {
		m := h.move
		m.From, m.To = also, h.options["discovery"]
		if !h.readyAt.IsZero() && !time.Now().Before(h.readyAt) {
			m.Here = nil
		}
		n.Move = &m
	}
	return agentapi.StatusReport{Networks: []agentapi.NetworkStatus{n}}, nil
}

func (h *moveHost) StatusWithRates() (agentapi.StatusReport, error) { return h.Status() }

func TestMoveNetwork(t *testing.T) {
	gossip := map[string]string{"vni": "7", "discovery": "gossip"}
	both := map[string]string{"vni": "7", "discovery": "etcd", "discovery_also": "gossip"}
	back := map[string]string{"vni": "7", "discovery": "gossip", "discovery_also": "etcd"}
	etcd, list := map[string]string{"vni": "7", "discovery": "etcd"}, map[string]string{"vni": "7"}
	fromList := map[string]string{"vni": "7", "discovery": "etcd", "discovery_also": "static"}
	toList := map[string]string{"vni": "7", "discovery": "static", "discovery_also": "etcd"}
	contest := []string{"address 10.0.0.2 is that of container a here, and was given to container b on host h"}
	tests := []struct {
		name, args string
		host       moveHost
		code       int
		text       string
		options    map[string]string
	}{
		{"begins", "blue etcd", moveHost{options: gossip, move: agentapi.MoveStatus{Missing: []string{"b", "c"}}}, 0,
			"network blue: hosts are found by etcd, and by gossip as before\n# type `vxlanctl network move blue etcd` on b, " +
				"c\n# once all hosts of the network have moved, type on each: vxlanctl network move blue --finish\n", both},
		{"without an agent", "blue etcd", moveHost{options: gossip, noAgent: true}, 0,
			"by etcd, and by gossip as before\n# once", both},
		{"typed again", "blue etcd", moveHost{options: both}, 0, "by etcd, and by gossip as before\n# once", both},
		{"back", "blue gossip", moveHost{options: both}, 0, "by gossip, and by etcd as before", back},
		{"is there already", "blue etcd", moveHost{options: etcd}, 0, "hosts are found by etcd alone\n", etcd},
		{"an address is another's", "blue etcd", moveHost{options: gossip, move: agentapi.MoveStatus{Here: contest}}, 1,
			"move network blue: this host cannot go over to etcd: " + contest[0] + "; it stays with gossip", gossip},
		{"and was moving", "blue gossip", moveHost{options: both, move: agentapi.MoveStatus{Here: contest}}, 1,
			"it stays with both planes", back},
		{"the agent has an error", "blue etcd", moveHost{options: gossip, followed: errors.New("no room")}, 1,
			"no room; it stays with gossip", gossip},
		{"finishes", "blue --finish", moveHost{options: both}, 0,
			"network blue: hosts are found by etcd alone\n# on the network's other hosts type the same: vxlanctl network " +
				"move blue --finish\n", etcd},
		{"a host is missing", "blue --finish", moveHost{options: both, move: agentapi.MoveStatus{Missing: []string{"b"}}}, 1,
			"etcd does not reach b; type `vxlanctl network move blue etcd` there", both},
		{"which does not matter", "blue --finish --force",
			moveHost{options: both, move: agentapi.MoveStatus{Missing: []string{"b"}}}, 0, "by etcd alone", etcd},
		{"what is here is not published", "blue --finish --force",
			moveHost{options: both, move: agentapi.MoveStatus{Here: contest}}, 1,
			"this host needs gossip still: " + contest[0], both},
		{"a list", "blue etcd", moveHost{options: list}, 0, "hosts are found by etcd, and by static as before", fromList},
		{"a list whose agent has an error", "blue etcd", moveHost{options: list, followed: errors.New("no room")}, 1,
			"no room; it stays with static", list},
		{"a list, finished", "blue --finish", moveHost{options: fromList}, 0, "hosts are found by etcd alone", etcd},
		{"a listed host is missing", "blue --finish",
			moveHost{options: fromList, move: agentapi.MoveStatus{Missing: []string{"198.18.0.7"}}}, 1,
			"etcd does not reach 198.18.0.7; type `vxlanctl network move blue etcd` there, or `vxlanctl network peer " +
				"remove blue ADDRESS` here", fromList},
		{"back to a list", "blue static", moveHost{options: etcd}, 0, "by static, and by etcd as before", toList},
		{"a host that the list lacks", "blue --finish",
			moveHost{options: toList, move: agentapi.MoveStatus{Missing: []string{"b"}}}, 1,
			"static does not reach b; type `vxlanctl network move blue static` there, or `vxlanctl network peer " +
				"add blue ADDRESS` here", toList},
		{"a list, halfway back", "blue static", moveHost{options: fromList}, 0, "by static, and by etcd as before", toList},
		{"from gossip to a list", "blue static", moveHost{options: gossip}, 1,
			"between gossip and etcd, or static and etcd; move it to etcd first", gossip},
		{"from a list to gossip", "blue gossip", moveHost{options: list}, 1,
			"between static and etcd, or gossip and etcd; move it to etcd first", list},
		{"to a third one", "blue static", moveHost{options: both}, 1,
			"it moves from gossip to etcd; type --finish first, or go back to gossip", both},
		{"no plane", "blue bgp", moveHost{options: gossip}, 2, "the plane to move to, etcd, gossip or static", gossip},
		{"force alone", "blue etcd --force", moveHost{options: gossip}, 2, "--force goes with --finish", gossip},
		{"two things at once", "blue etcd --finish", moveHost{options: gossip}, 2, "type the name of the network alone",
			gossip},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			out, err := run(&tt.host, append([]string{"network", "move"}, strings.Fields(tt.args)...)...)
			if err != nil {
				out += err.Error()
			}
			if ExitCode(err) != tt.code || !strings.Contains(out, tt.text) || !maps.Equal(tt.host.options, tt.options) {
				t.Errorf("%s: ends with %d, options %v, printed\n%s", tt.name, ExitCode(err), tt.host.options, out)
			}
		})
	}
}

// What this host has need not be on the other plane at once.
func TestMoveAwaitsThePlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := moveHost{options: map[string]string{"discovery": "gossip"}, readyAt: time.Now().Add(3 * time.Second),
			move: agentapi.MoveStatus{Here: []string{"2 of this host's keys are not in etcd yet"}}}
		began := time.Now()
		if out, err := run(&h, "network", "move", "blue", "etcd"); err != nil || time.Since(began) < 3*time.Second {
			t.Errorf("after %v: %v, printed %s", time.Since(began), err, out)
		}
	})
}

func TestStatusSaysHowFarANetworkHasMoved(t *testing.T) {
	for _, tt := range []struct {
		move agentapi.MoveStatus
		want string
	}{
		{agentapi.MoveStatus{}, "blue: moves from gossip to etcd; no host is missing, so `vxlanctl network move"},
		{agentapi.MoveStatus{Missing: []string{"b", "c"}}, "blue: moves from gossip to etcd; missing is b, c"},
		{agentapi.MoveStatus{Here: []string{"etcd does not answer"}, Missing: []string{"b"}},
			"this host is not there yet: etcd does not answer"},
	} {
		h := moveHost{options: map[string]string{"discovery": "etcd", "discovery_also": "gossip"}, move: tt.move}
		out, _ := run(&h, "status")
		if text := strings.Join(strings.Fields(out), " "); !strings.Contains(text, tt.want) {
			t.Errorf("want %q in\n%s", tt.want, out)
		}
	}
}

// A move changes nothing else.
func TestCheckMove(t *testing.T) {
	before := map[string]string{"discovery": "gossip", "mtu": "1400"}
	if err := CheckMove(before, map[string]string{"discovery": "etcd", "discovery_also": "gossip",
		"mtu": "1400"}); err != nil {
		t.Error(err)
	}
	if err := CheckMove(before, map[string]string{"discovery": "etcd"}); err == nil ||
		!strings.Contains(err.Error(), "option mtu") {
		t.Errorf("got %v", err)
	}
}
