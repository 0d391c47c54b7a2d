package dns

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netnstest"
)

func TestRecordsChangeUnderOpenSockets(t *testing.T) {
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24")
	c := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/24")
	s := h.newServer()
	h.setZones(s, zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.2"))
	before := s.zones["red"].listeners
	conn := dialFrom(t, c, "tcp", "10.0.0.1:53")
	askOver(conn, "web", dns.TypeA)
	sockets := fmt.Sprint(before)
	h.setZones(s, zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.9"))
	if fmt.Sprint(s.zones["red"].listeners) != sockets {
		t.Error("sockets were opened anew")
	}
	if got := askOver(conn, "web", dns.TypeA); got != "NOERROR, A 10.0.0.9" {
		t.Errorf("on the open connection: %s", got)
	}
}

// Each answer is of one state: both addresses old or both new.
func TestAnswerIsOfOneState(t *testing.T) {
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24")
	c := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/24")
	s := h.newServer()
	states := []Zone{zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.2"), zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.4")}
	for i := range states {
		states[i].Records[0].Addrs = append(states[i].Records[0].Addrs, states[i].Records[0].Addrs[0].Next())
	}
	h.setZones(s, states[0])
	stop := make(chan struct{})
	var running sync.WaitGroup
	for _, conn := range []net.Conn{dialFrom(t, c, "udp", "10.0.0.1:53"), dialFrom(t, c, "tcp", "10.0.0.1:53")} {
		running.Go(func() {
			for {
				got := askOver(conn, "web", dns.TypeA)
				if !slices.Contains([]string{"NOERROR, A 10.0.0.2, A 10.0.0.3", "NOERROR, A 10.0.0.3, A 10.0.0.2",
					"NOERROR, A 10.0.0.4, A 10.0.0.5", "NOERROR, A 10.0.0.5, A 10.0.0.4"}, got) {
					t.Errorf("got %s", got)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := range 300 {
		h.setZones(s, states[i%2])
	}
	close(stop)
	running.Wait()
}

func TestSetOpensAndClosesWhatDiffers(t *testing.T) {
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24", "10.0.0.63/24")
	h.addBridge("br-blue", "10.1.0.1/24")
	s := h.newServer()
	red, blue := zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.2"), zoneWithRecord("blue", "br-blue", "10.1.0.1", "web", "10.1.0.2")
	both := red
	both.Addrs = parseAddrs("10.0.0.63", "10.0.0.1")
	port := red
	port.Port = 1053
	moved := blue
	moved.Device, moved.Addrs = "br-red", parseAddrs("10.0.0.1")
	for _, step := range []struct {
		what  string
		zones []Zone
		want  string
	}{
		{"one network", []Zone{red}, "[{red br-red 10.0.0.1 53}]"},
		{"the same", []Zone{red}, "[{red br-red 10.0.0.1 53}]"},
		{"another address", []Zone{both}, "[{red br-red 10.0.0.1 53} {red br-red 10.0.0.63 53}]"},
		{"another network", []Zone{both, blue}, "[{blue br-blue 10.1.0.1 53} {red br-red 10.0.0.1 53} {red br-red 10.0.0.63 53}]"},
		{"fewer", []Zone{red}, "[{red br-red 10.0.0.1 53}]"},
		{"another port", []Zone{port}, "[{red br-red 10.0.0.1 1053}]"},
		{"an address that went to another network", []Zone{moved}, "[{blue br-red 10.0.0.1 53}]"},
		{"none", nil, "[]"},
	} {
		h.setZones(s, step.zones...)
		if got := fmt.Sprint(s.Listening()); got != step.want {
			t.Errorf("%s: got %s, want %s", step.what, got, step.want)
		}
	}
}

func TestSetReportsFailuresAndServesTheRest(t *testing.T) {
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24")
	s := h.newServer()
	zones := []Zone{
		zoneWithRecord("gone", "br-gone", "10.1.0.1", "web", "10.1.0.2"), zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.2"),
		{Network: "none"}, zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.2"),
	}
	var err error
	inNamespace(t, h.ns, func() error { err = s.Set(zones); return nil })
	for _, want := range []string{
		`serve names of network "gone" on 10.1.0.1 port 53: `, `bind to device "br-gone": no such device`, "the bridge is not there: ",
		`serve names of network "none" on device "": both must be given`, `serve names of network "red": it is given twice`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in\n%v", want, err)
		}
	}
	if got := fmt.Sprint(s.Listening()); got != "[{red br-red 10.0.0.1 53}]" {
		t.Errorf("listening on %s", got)
	}
	h.addBridge("br-gone", "10.1.0.1/24")
	h.setZones(s, zones[:2]...)
	if got := fmt.Sprint(s.Listening()); got != "[{gone br-gone 10.1.0.1 53} {red br-red 10.0.0.1 53}]" {
		t.Errorf("with the bridge: %s", got)
	}
}

func TestAddressMayBeAddedLater(t *testing.T) {
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24")
	c := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/24", "fd00::2/64")
	h.setZones(h.newServer(), zoneWithRecord("red", "br-red", "10.0.0.63 fd00::1", "web", "10.0.0.2"))
	runIP(t, h.ns, "addr add 10.0.0.63/24 dev br-red")
	runIP(t, h.ns, "addr add fd00::1/64 nodad dev br-red")
	netnstest.WaitForAddrs(t, h.ns)
	for _, to := range []string{"10.0.0.63:53", "[fd00::1]:53"} {
		if got := askOver(dialFrom(t, c, "udp", to), "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
			t.Errorf("%s: %s", to, got)
		}
	}
}

func TestSocketsMoveToRecreatedBridge(t *testing.T) {
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24")
	s := h.newServer()
	z := zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.2")
	h.setZones(s, z)
	runIP(t, h.ns, "link del br-red")
	h.addBridge("br-red", "10.0.0.1/24")
	c := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/24")
	if got := askOver(dialFrom(t, c, "udp", "10.0.0.1:53"), "web", dns.TypeA); !strings.Contains(got, "connection refused") {
		t.Errorf("the kernel follows the name, got %s; then the index need not be looked at", got)
	}
	h.setZones(s, z)
	for _, network := range []string{"udp", "tcp"} {
		if got := askOver(dialFrom(t, c, network, "10.0.0.1:53"), "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
			t.Errorf("%s: %s", network, got)
		}
	}
}

func TestTakenPortIsReplaced(t *testing.T) {
	for what, network := range map[string]string{"UDP on all addresses": "udp", "TCP on all addresses": "tcp"} {
		h := newTestHost(t)
		h.addBridge("br-red", "10.0.0.1/24")
		c := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/24")
		inNamespace(t, h.ns, func() error {
			if network == "udp" {
				conn, err := net.ListenPacket("udp", ":53")
				t.Cleanup(func() { conn.Close() })
				return err
			}
			l, err := net.Listen("tcp", ":53")
			t.Cleanup(func() { l.Close() })
			return err
		})
		s := h.newServer()
		z := zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.2")
		h.setZones(s, z)
		first := s.Listening()
		if len(first) != 1 || first[0].Port == 53 || first[0].Port == 0 {
			t.Fatalf("%s: listening on %v", what, first)
		}
		h.setZones(s, z)
		if again := s.Listening(); !slices.Equal(again, first) {
			t.Errorf("%s: the port changed from %v to %v", what, first, again)
		}
		for _, network := range []string{"udp", "tcp"} {
			if got := askOver(dialFrom(t, c, network, fmt.Sprint("10.0.0.1:", first[0].Port)), "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
				t.Errorf("%s, over %s: %s", what, network, got)
			}
		}
	}
}

func TestClosedServerAnswersNothing(t *testing.T) {
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24")
	c := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/24")
	s := h.newServer()
	h.setZones(s, zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.2"))
	s.Close()
	s.Close()
	if got := askOver(dialFrom(t, c, "udp", "10.0.0.1:53"), "web", dns.TypeA); !strings.Contains(got, unix.ECONNREFUSED.Error()) {
		t.Errorf("got %s", got)
	}
	if err := s.Set(nil); err == nil {
		t.Error("a closed server accepts zones")
	}
	if got := s.Listening(); len(got) != 0 {
		t.Errorf("listening on %v", got)
	}
}

func TestViewIsRebuiltOnlyWhenAnswersDiffer(t *testing.T) {
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24")
	zone := func(change func(*Zone)) Zone {
		z := testZone()
		change(&z)
		return z
	}
	same := func(*Zone) {}
	for what, c := range map[string]struct {
		change func(*Zone)
		other  Zone
		anew   bool
	}{
		"nothing":               {same, Zone{Network: "blue", Device: "br-red"}, false},
		"where it listens":      {func(z *Zone) { z.Addrs, z.Port = parseAddrs("10.0.0.1"), 1053 }, Zone{Network: "blue", Device: "br-red"}, false},
		"a name":                {func(z *Zone) { z.Records[1].Names = []string{"z"} }, Zone{Network: "blue", Device: "br-red"}, true},
		"an address":            {func(z *Zone) { z.Records[1].Addrs = parseAddrs("10.0.0.9") }, Zone{Network: "blue", Device: "br-red"}, true},
		"an upstream":           {func(z *Zone) { z.Upstreams = nil }, Zone{Network: "blue", Device: "br-red"}, true},
		"a subnet":              {func(z *Zone) { z.Subnets = nil }, Zone{Network: "blue", Device: "br-red"}, true},
		"what listens upstream": {same, Zone{Network: "blue", Device: "br-red", Addrs: parseAddrs("198.18.0.53")}, true},
	} {
		s := h.newServer()
		other := Zone{Network: "blue", Device: "br-red"}
		h.setZones(s, zone(same), other)
		before := s.zones["red"].view.Load()
		h.setZones(s, zone(c.change), c.other)
		if anew := s.zones["red"].view.Load() != before; anew != c.anew {
			t.Errorf("%s changes: made anew %v", what, anew)
		}
		s.Close()
	}
}

// Nobody would answer for a record that is added after the bridge was deleted and made anew.
func TestAddRecordFailsOnRecreatedBridge(t *testing.T) {
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24")
	s := h.newServer()
	h.setZones(s, zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.2"))
	add := func() (ok bool) {
		inNamespace(t, h.ns, func() error {
			ok = s.AddRecord("red", Record{ID: "b", Names: []string{"b"}, Addrs: parseAddrs("10.0.0.3")})
			return nil
		})
		return ok
	}
	if !add() {
		t.Error("not added where it is served")
	}
	runIP(h, h.ns, "link delete br-red")
	if add() {
		t.Error("added without a bridge")
	}
	h.addBridge("br-red", "10.0.0.1/24")
	if add() {
		t.Error("added to another bridge")
	}
}
