package repairs

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
)

var prefix = netip.MustParsePrefix

// during runs changes as the agent makes them, and returns what was repaired.
func during(l *Log, r Run, changes ...kernel.Change) string {
	find, _ := l.During(r, func() error {
		for _, c := range changes {
			l.noteChange(c)
		}
		return nil
	})
	return join(find())
}

func join(found []Repair) string {
	var all []string
	for _, r := range found {
		r.GoneFor = 0
		all = append(all, r.String())
	}
	return strings.Join(all, "\n")
}

// What is made with a device is part of it, and what the agent undoes itself is no repair.
func TestWhatIsARepair(t *testing.T) {
	link := kernel.CreateLink{Link: kernel.Link{Name: "v", Kind: kernel.KindVXLAN}}
	addr := kernel.AddAddr{Name: "b", Addr: kernel.Addr{Prefix: prefix("10.0.0.1/24")}}
	const unknown = ", by whom is unknown"
	for _, tt := range []struct {
		name    string
		run     Run
		changes []kernel.Change
		want    string
	}{
		{"nothing", Run{}, nil, ""},
		{"a device with all that it has", Run{}, []kernel.Change{
			link, kernel.SetAlias{Name: "v"}, kernel.SetMaster{Name: "v", Master: "b"}, kernel.SetUp{Name: "v"}, kernel.AddAddr{Name: "v"},
			kernel.SetSysctls{Sysctls: []kernel.Sysctl{{Key: "net/ipv6/conf/v/disable_ipv6", Value: "1"}}},
		}, "device v was missing and is back" + unknown},
		{"a device that the agent replaces", Run{}, []kernel.Change{kernel.DeleteLink{Name: "v"}, link, kernel.SetUp{Name: "v"}}, ""},
		{"an address", Run{}, []kernel.Change{addr}, "address 10.0.0.1/24 of b was missing and is back" + unknown},
		{"an address in another order", Run{}, []kernel.Change{kernel.DelAddr(addr), kernel.AddAddr{Name: "b"}, addr}, ""},
		{"a new address", Run{Expected: true}, []kernel.Change{addr}, ""},
		{"a route", Run{}, []kernel.Change{kernel.AddRoute{Name: "b", Route: kernel.Route{Dst: prefix("10.1.0.0/16")}}}, "route to 10.1.0.0/16 was missing and is back" + unknown},
		{"a device by two changes", Run{}, []kernel.Change{kernel.SetUp{Name: "v"}, kernel.SetMAC{Name: "v"}}, "device v was altered and is set right" + unknown},
		{"a port", Run{}, []kernel.Change{kernel.SetMaster{Name: "v", Master: "b"}, setPort{kernel.SetMaster{Name: "v"}, kernel.PortFlags{}}},
			"port v was off its bridge or altered, and is set right" + unknown},
		{"parameters", Run{}, []kernel.Change{kernel.SetSysctls{Sysctls: []kernel.Sysctl{{Key: "net/ipv4/ip_forward", Value: "1"}, {Key: "net/ipv4/conf/b/rp_filter", Value: "2"}}}},
			"kernel parameter net.ipv4.ip_forward was altered and is set right" + unknown + "\nkernel parameter net.ipv4.conf.b.rp_filter was altered and is set right" + unknown},
		{"an MTU that nobody has asked for before", Run{MTUs: map[string]int{"v": 1400}}, []kernel.Change{kernel.SetMTU{Name: "v", MTU: 1400}}, ""},
		{"news", Run{Expected: true}, []kernel.Change{kernel.SetUp{Name: "v"}, kernel.SetSysctls{Sysctls: []kernel.Sysctl{{Key: "a"}}}, kernel.SetFirewall{}}, ""},
		{"flows and entries", Run{}, []kernel.Change{kernel.DeleteFlows{}, kernel.AddFDB{Name: "v"}, kernel.DelRoute{}}, ""},
		{"elements of containers", Run{}, []kernel.Change{kernel.AddElements{}}, ""},
		{"a firewall of which nothing is known", Run{}, []kernel.Change{kernel.SetFirewall{}}, ""},
	} {
		if got := during(NewLog(), tt.run, tt.changes...); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
	l := NewLog()
	mtu := Run{MTUs: map[string]int{"v": 1400}}
	during(l, mtu)
	if got := during(l, mtu, kernel.SetMTU{Name: "v", MTU: 1400}); got != "device v was altered and is set right"+unknown {
		t.Errorf("an MTU that somebody changed: %s", got)
	}
	if got := during(l, Run{MTUs: map[string]int{"v": 1300}}, kernel.SetMTU{Name: "v", MTU: 1300}); got != "" {
		t.Errorf("an MTU that follows the underlay: %s", got)
	}
}

// Of the elements that the firewall had had, those that are missing count. What has never been there is
// new, and Podman's bridges come and go.
func TestMissingElements(t *testing.T) {
	element := func(set kernel.Set, name string) kernel.Element {
		return kernel.Element{Set: set, Key: kernel.Device(name)}
	}
	all := []kernel.Element{element(kernel.Bridges, "a"), element(kernel.Bridges, "b"), element(kernel.PodmanBridges, "podman0")}
	for _, tt := range []struct {
		had, have []kernel.Element
		want      string
	}{
		{all, all[:2], ""},
		{all, all[1:], "firewall: an element was missing or altered and is back, by whom is unknown"},
		{all, nil, "firewall: 2 elements were missing or altered and are back, by whom is unknown"},
		{all[1:], all[1:], ""},
		{all[1:], nil, "firewall: an element was missing or altered and is back, by whom is unknown"},
		{nil, nil, ""},
	} {
		o := observed{changes: []kernel.Change{kernel.SetFirewall{Elements: all}}, elements: tt.have, elementsRead: true}
		if got := join(o.find(setting{hadElements: tt.had})); got != tt.want {
			t.Errorf("had %d, has %d: got %s", len(tt.had), len(tt.have), got)
		}
		// The same, where only what is missing is added.
		o.changes = []kernel.Change{kernel.ReplaceElements{New: all}}
		if got := join(o.find(setting{hadElements: tt.had})); got != tt.want {
			t.Errorf("had %d, by a replacement: got %s", len(tt.have), got)
		}
		if got := join(o.find(setting{expected: true, hadElements: tt.had})); got != "" {
			t.Errorf("news: got %s", got)
		}
	}
}

// The last report of what is repaired counts, with those of the same request before it. Reports of
// this project's own programs, of other things and of long ago do not.
func TestWhoRemovedIt(t *testing.T) {
	sender := func(pid int, command string) kernel.Sender {
		return kernel.Sender{Port: uint32(pid), PID: pid, Command: command}
	}
	addr := func(text string, by kernel.Sender) kernel.Removal {
		return kernel.Removal{What: kernel.RemovedAddr, Prefix: prefix(text), Sender: by}
	}
	for _, tt := range []struct {
		name     string
		removals []kernel.Removal
		want     string
		reported bool
	}{
		{"nobody", nil, "unknown", false},
		{"ip", []kernel.Removal{addr("10.0.0.1/24", sender(7, "ip"))}, "ip (process 7)", true},
		{"the later one", []kernel.Removal{addr("10.0.0.1/24", sender(7, "ip")), addr("10.0.0.1/24", sender(8, "dhcpcd"))}, "dhcpcd (process 8)", true},
		{"another address", []kernel.Removal{addr("10.0.0.2/24", sender(7, "ip"))}, "unknown", false},
		{"the kernel", []kernel.Removal{addr("10.0.0.1/24", kernel.Sender{})}, "unknown", true},
		{"a plugin", []kernel.Removal{addr("10.0.0.1/24", sender(7, "vxlan"))}, "unknown", false},
		{"this process", []kernel.Removal{addr("10.0.0.1/24", sender(os.Getpid(), "x"))}, "unknown", false},
		{"an element", []kernel.Removal{{What: kernel.RemovedElement, Sender: sender(7, "nft")}}, "unknown", false},
	} {
		l := NewLog()
		for _, r := range tt.removals {
			l.NoteRemoval(r)
		}
		find, _ := l.During(Run{}, func() error {
			l.noteChange(kernel.AddAddr{Name: "b", Addr: kernel.Addr{Prefix: prefix("10.0.0.1/24")}})
			return nil
		})
		found := find()
		if len(found) != 1 || found[0].By.String() != tt.want || found[0].Reported != tt.reported || found[0].Code() != diagnosis.GatewayMissing {
			t.Errorf("%s: got %+v", tt.name, found)
		}
	}
}

// A firewall that was flushed in one request was gone from its first report on. This agent's own
// replacement of the tables is none, and elements count only if it is known who deleted them.
func TestWhoRemovedRules(t *testing.T) {
	nft := kernel.Sender{Port: 7, PID: 7, Command: "nft"}
	rules := func(by kernel.Sender) kernel.Removal {
		return kernel.Removal{What: kernel.RemovedRules, Object: "vxlan-driver", Sender: by}
	}
	repaired := func(l *Log, changes ...kernel.Change) string {
		find, _ := l.During(Run{}, func() error {
			l.note(func(o *observed) { o.rulesLost = true })
			for _, c := range changes {
				l.noteChange(c)
			}
			return nil
		})
		return join(find())
	}
	l := NewLog()
	l.NoteRemoval(rules(nft))
	l.NoteRemoval(rules(nft))
	l.mu.Lock()
	l.removals[0].at = l.removals[0].at.Add(-500 * time.Millisecond)
	l.mu.Unlock()
	find, _ := l.During(Run{}, func() error {
		l.note(func(o *observed) { o.rulesLost = true })
		l.noteChange(kernel.SetFirewall{})
		return nil
	})
	found := find()
	if len(found) != 1 || found[0].GoneFor < 500*time.Millisecond || found[0].By != nft || found[0].Code() != diagnosis.RulesMissing {
		t.Errorf("got %+v", found)
	}
	if got := repaired(l, kernel.SetFirewall{}); !strings.HasSuffix(got, "by whom is unknown") {
		t.Errorf("a report is used twice: %s", got)
	}
	l.noteOwnRules()
	l.NoteRemoval(rules(kernel.Sender{Port: 1 << 31}))
	l.NoteRemoval(kernel.Removal{What: kernel.RemovedElement})
	if got := repaired(l, kernel.SetFirewall{}, kernel.AddElements{}); !strings.HasSuffix(got, "back, by whom is unknown") || strings.Contains(got, "gone for") {
		t.Errorf("this agent's own: %s", got)
	}
	l.NoteRemoval(kernel.Removal{What: kernel.RemovedElement, Sender: nft})
	const want = "firewall: elements were missing or altered and are back, gone for 0s, removed by nft (process 7)"
	if got := repaired(l, kernel.AddElements{}); got != want {
		t.Errorf("got %s", got)
	}
	if got := repaired(l, kernel.AddElements{}); got != "" {
		t.Errorf("told twice: %s", got)
	}
}

// Suspect entries count once however many tables have them; what was removed with its device, or had
// just been added, does not.
func TestForwardingEntries(t *testing.T) {
	macs := []kernel.MAC{{2, 1}, {2, 2}, {2, 3}}
	entries := func(macs ...kernel.MAC) (t kernel.ForwardingTables) {
		for _, m := range macs {
			t.FDB, t.Static = append(t.FDB, kernel.FDB{MAC: m}), append(t.Static, m)
		}
		return t
	}
	forward := func(l *Log, suspect Entries, c kernel.ForwardingChanges) string {
		found, _ := l.DuringForward(suspect, func() error { l.noteEntries(c); return nil })
		return join(found)
	}
	suspect := func(macs ...kernel.MAC) (s Entries) {
		s.Add(kernel.ForwardingKeys{MACs: macs})
		return s
	}
	change := kernel.ForwardingChanges{Bridge: "b", Device: "v", Add: entries(macs...)}
	const two = "2 forwarding entries of v were missing or wrong and are set right"
	l := NewLog()
	if got := forward(l, suspect(macs[:2]...), change); got != two+", by whom is unknown" {
		t.Errorf("got %s", got)
	}
	if got := forward(l, nil, change); got != "" {
		t.Errorf("news: %s", got)
	}
	l.NoteDeleted(kernel.ForwardingKeys{MACs: macs[:1]})
	if got := forward(l, suspect(macs[0]), change); got != "" {
		t.Errorf("an entry that had just been added: %s", got)
	}
	l = NewLog()
	host := kernel.FDB{Dst: netip.MustParseAddr("198.18.0.2")}
	lost := make(Entries)
	lost.Add(kernel.ForwardingKeys{Flood: []kernel.FDB{host}})
	l.noteChange(kernel.AddFDB{Name: "v", FDB: host})
	l.NoteDeleted(kernel.ForwardingKeys{Flood: []kernel.FDB{host}})
	if got := forward(l, lost, kernel.ForwardingChanges{Device: "v", Add: kernel.ForwardingTables{Flood: []kernel.FDB{host}}}); got != "" {
		t.Errorf("a host that had just come: %s", got)
	}
	l = NewLog()
	l.NoteDeleted(kernel.ForwardingKeys{MACs: macs[:2]})
	if got := forward(l, suspect(macs[:2]...), change); got != two+", gone for 0s, by whom is unknown" {
		t.Errorf("got %s", got)
	}
	for _, name := range []string{"v", "b"} {
		l = NewLog()
		l.noteChange(kernel.CreateLink{Link: kernel.Link{Name: name}})
		if got := forward(l, suspect(macs...), change); got != "" {
			t.Errorf("%s was made: %s", name, got)
		}
	}
	l = NewLog()
	l.NoteRemoval(kernel.Removal{What: kernel.RemovedLink, Object: "v"})
	if got := forward(l, suspect(macs...), change); got != "" {
		t.Errorf("the device was removed: %s", got)
	}
	if got := l.Counts(); got[Forwarding] != 0 || len(got) != len(Kinds) {
		t.Errorf("counted %v", got)
	}
}

// What is remembered is bounded, however much is removed.
func TestMemoryIsBounded(t *testing.T) {
	l := NewLog()
	for i := range 3 * maxEntries {
		l.NoteRemoval(kernel.Removal{What: kernel.RemovedLink})
		l.NoteDeleted(kernel.ForwardingKeys{MACs: []kernel.MAC{{2, byte(i >> 16), byte(i >> 8), byte(i)}}})
	}
	if len(l.removals) > maxRemovals || len(l.deleted) > maxEntries {
		t.Errorf("%d removals, %d entries", len(l.removals), len(l.deleted))
	}
}

// A large network whose entries are all gone takes no memory for each of them.
func TestEntriesAreBounded(t *testing.T) {
	var keys kernel.ForwardingKeys
	for i := range 2 * maxEntries {
		keys.MACs = append(keys.MACs, kernel.MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	var all, taken Entries
	taken = make(Entries)
	if all.Add(keys); len(all) != maxEntries {
		t.Errorf("%d entries are remembered", len(all))
	}
	if all.MoveTo(taken, keys); len(all) != 0 || len(taken) != maxEntries {
		t.Errorf("%d entries stay, %d are taken", len(all), len(taken))
	}
}

// An element that was put back is missed again when somebody deletes it again.
func TestElementIsMissedEachTime(t *testing.T) {
	all := []kernel.Element{{Set: kernel.Bridges, Key: kernel.Device("a")}, {Set: kernel.Bridges, Key: kernel.Device("b")}}
	l := NewLog()
	during(l, Run{}, kernel.SetFirewall{Elements: all})
	for range 3 {
		l.noteElements(all[:1])
		find, err := l.During(Run{}, func() error {
			l.noteElements(all[:1])
			l.noteChange(kernel.ReplaceElements{New: all[1:]})
			return nil
		})
		const want = "firewall: an element was missing or altered and is back, by whom is unknown"
		if got := join(find()); err != nil || got != want {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

// Elements that were read before a run count, as long as the run does not read them itself.
func TestElementsReadBeforeCount(t *testing.T) {
	all := []kernel.Element{{Set: kernel.Bridges, Key: kernel.Device("a")}, {Set: kernel.Bridges, Key: kernel.Device("b")}}
	const one = "firewall: an element was missing or altered and is back, by whom is unknown"
	for _, tt := range []struct {
		name         string
		before, read []kernel.Element
		want         string
	}{
		{"nobody has read them", nil, nil, ""},
		{"one is missing", all[:1], nil, one},
		{"none was missing", all, nil, ""},
		{"one went meanwhile", all, all[:1], one},
		{"one came meanwhile", all[:1], all, ""},
	} {
		l := NewLog()
		during(l, Run{}, kernel.SetFirewall{Elements: all})
		find, err := l.During(Run{Elements: tt.before}, func() error {
			if tt.read != nil {
				l.noteElements(tt.read)
			}
			l.noteChange(kernel.AddElements{Elements: all[1:]})
			return nil
		})
		if got := join(find()); err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}
