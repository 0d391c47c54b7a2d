package survey_test

import (
	"strings"
	"testing"
)

// pathFault is broken between the hosts.
type pathFault struct {
	name, rule string
	look       int    // number of the host on which doctor is typed
	code, host string // what is found first, and on which host it is said to be
	says       string
}

var pathFaults = []pathFault{
	{"some frames are lost on the way there", "oifname host-b udp dport 4789 numgen random mod 100 < 20 drop", 0, "VX0304", "host-a", "on the way there"},
	{"some frames are lost on the way back", "oifname host-a udp dport 4789 numgen random mod 100 < 20 drop", 0, "VX0304", "host-a", "on the way back"},
	{"every other large frame is lost", "oifname host-b udp dport 4789 meta length > 1000 numgen inc mod 2 == 0 drop", 0, "VX0304", "host-a", "and no small one"},
}

// What is broken between two hosts with agents is found, and its kind and direction.
func TestFaultsBetweenHosts(t *testing.T) {
	l := newLAN(t, 2)
	l.startNetwork("net", true, nil)
	l.awaitHealth(t)
	for _, f := range pathFaults {
		t.Run(f.name, func(t *testing.T) {
			l.between(f.rule)
			found := l.hosts[f.look].doctor("")
			if len(found) == 0 || found[0].Code != f.code || found[0].Host != f.host || !strings.Contains(found[0].Summary, f.says) {
				t.Errorf("want %s on %s (%s) first, found %v", f.code, f.host, f.says, found)
			}
			l.removeRules()
			l.awaitHealth(t)
		})
	}
}
