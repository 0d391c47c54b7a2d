package gossip

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
)

func testRecord(names ...string) record {
	r := record{name: "host-9", attachments: []cluster.Membership{attachment(netip.MustParseAddr("198.18.0.9"), names...)}}
	r.version = version{incarnation: 1, sequence: 300, sum: contentSum(false, r.attachments)}
	return r
}

// examples has a message of each kind, and of each branch in its encoding.
func examples() []message {
	from := message{from: "host-9", addr: netip.MustParseAddrPort("198.18.0.9:7947")}
	kind := func(k byte, set func(*message)) message {
		m := from
		m.kind = k
		set(&m)
		return m
	}
	r := testRecord("a", "b")
	r6 := testRecord()
	r6.attachments[0].VTEP = netip.MustParseAddr("fd00::9")
	r6.version.sum = contentSum(false, r6.attachments)
	left := record{name: "gone", left: true, version: version{incarnation: 2, sequence: 1, sum: contentSum(true, nil)}}
	next := testRecord("b", "c")
	next.version.sequence++
	return []message{
		kind(kindDigests, func(m *message) {
			m.full = true
			m.digests = []digest{{"a", r.version, 0}, {"host-9", r.version, age(time.Hour)}}
		}),
		kind(kindDigests, func(*message) {}),
		kind(kindWant, func(m *message) { m.names = []string{"a", "b.example"} }),
		kind(kindRecords, func(m *message) {
			m.records = []held{{record: r}, {record: r6, age: age(time.Second)}, {record: left, age: age(time.Minute)}}
		}),
		kind(kindDelta, func(m *message) { m.delta = diff(r, next) }),
		kind(kindDelta, func(m *message) {
			m.delta = diff(r, record{name: r.name, version: next.version})
		}),
		kind(kindSummary, func(m *message) { m.hash = 1<<64 - 1 }),
	}
}

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	for _, m := range examples() {
		got, err := decode(m.encode())
		if err != nil {
			t.Errorf("kind %d: %v", m.kind, err)
		} else if !reflect.DeepEqual(got, m) {
			t.Errorf("kind %d:\ngot  %+v\nwant %+v", m.kind, got, m)
		}
	}
}

// No message that was cut off or has a bit flipped is taken for another one of
// which the encoding differs.
func TestDamagedMessages(t *testing.T) {
	for _, m := range examples() {
		data := m.encode()
		for n := range data {
			if _, err := decode(data[:n]); err == nil {
				t.Errorf("kind %d: the first %d of %d bytes were taken", m.kind, n, len(data))
			}
			for bit := range 8 {
				flipped := bytes.Clone(data)
				flipped[n] ^= 1 << bit
				if got, err := decode(flipped); err == nil && !bytes.Equal(got.encode(), flipped) {
					t.Errorf("kind %d: byte %d, bit %d: taken, but not as it stands", m.kind, n, bit)
				}
			}
		}
		if _, err := decode(append(data, 0)); !errors.Is(err, errMalformed) {
			t.Errorf("kind %d: a byte too many: %v", m.kind, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	w := func(kind byte, rest func(*writer)) []byte {
		w := writer{buf: []byte{protocolVersion, kind}}
		w.string("host-9")
		w.addr(netip.MustParseAddr("198.18.0.9"))
		w.uint(DefaultPort)
		rest(&w)
		return w.buf
	}
	rec := func(change func(*record)) []byte {
		r := testRecord("a")
		change(&r)
		return message{kind: kindRecords, from: "host-9", addr: addrOf(9), records: []held{{record: r}}}.encode()
	}
	resum := func(r *record) { r.version.sum = contentSum(r.left, r.attachments) }
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "has 0 bytes"},
		{"a message that is too long", make([]byte, maxMessage+1), "has 1048577 bytes"},
		{"another version", []byte{2, 1, 0}, "another protocol version"},
		{"an unknown kind", w(99, func(*writer) {}), "unknown kind 99"},
		{"a sender without a name", append([]byte{protocolVersion, kindSummary}, make([]byte, 30)...), "host name"},
		{"a boolean of 2", w(kindDigests, func(w *writer) { w.byte(2) }), "2 is not a boolean"},
		{"a long number", w(kindSummary, func(w *writer) { w.raw([]byte{0x80, 0}) }), "shortest form"},
		{"a number of 65 bits", w(kindSummary, func(w *writer) { w.raw([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 2}) }), "has no number"},
		{"a count without values", w(kindWant, func(w *writer) { w.uint(4000) }), "claims 4000 values"},
		{"a count above the limit", w(kindWant, func(w *writer) { w.uint(maxHosts + 1) }), "at most 4096"},
		{"a name that no host has", w(kindWant, func(w *writer) { w.count(1); w.string("a b") }), "host name"},
		{"a long name", w(kindWant, func(w *writer) { w.count(1); w.string(strings.Repeat("a", 65)) }), "at most 64"},
		{"a record without a version", rec(func(r *record) { r.version = version{} }), "has no version"},
		{"a version beyond the counter", rec(func(r *record) { r.version.incarnation = 1 << 63 }), "is allowed"},
		{"a record that is not its sum's", rec(func(r *record) { r.attachments[0].StaticFDB = false }), "not of the version it claims"},
		{"VNI 0", rec(func(r *record) { r.attachments[0].Network.VNI = 0; resum(r) }), "must have a VNI"},
		{"a loopback VTEP", rec(func(r *record) { r.attachments[0].VTEP = netip.MustParseAddr("127.0.0.1"); resum(r) }), "unicast"},
		{"an address of no family", rec(func(r *record) { r.attachments[0].VTEP = netip.Addr{}; resum(r) }), "0 bytes"},
		{"a multicast MAC", rec(func(r *record) { r.attachments[0].BridgeMAC = kernel.MAC{1}; resum(r) }), "multicast"},
		{"a name with a space", rec(func(r *record) { r.attachments[0].Endpoints[0].Names[0] = "a b"; resum(r) }), "letters"},
		{"an id that is a path", rec(func(r *record) { r.attachments[0].Endpoints[0].ContainerID = "../../etc"; resum(r) }), "container id"},
		{"networks out of order", rec(func(r *record) {
			other := r.attachments[0]
			other.Network.VNI--
			r.attachments = append(r.attachments, other)
			resum(r)
		}), "out of order"},
		{"attachments of a host that left", rec(func(r *record) { r.left = true; resum(r) }), "left has attachments"},
		{"a record above the limit", rec(func(r *record) {
			for i := range 3000 {
				e := cluster.Endpoint{ContainerID: strings.Repeat("z", 60) + string(rune('a'+i/676)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26))}
				e.Names = []string{strings.Repeat(strings.Repeat("n", 60)+".", 3) + "n"}
				r.attachments[0].Endpoints = append(r.attachments[0].Endpoints, e)
			}
			resum(r)
		}), "over 524288 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decode(tt.data)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// The delta of one container's start must fit a packet, with room for a long name
// and many aliases.
func TestDeltaIsSmall(t *testing.T) {
	before := testRecord("b", "c")
	after := testRecord("b", "c")
	id := strings.Repeat("a", 64)
	after.attachments[0].Endpoints = append(after.attachments[0].Endpoints, cluster.Endpoint{
		ContainerID: id, Names: []string{"web-frontend", id[:12]},
		Addrs: []netip.Addr{netip.MustParseAddr("10.0.9.77"), netip.MustParseAddr("fd00::77")}, MAC: kernel.MAC{2},
	})
	m := message{kind: kindDelta, from: "host-9", addr: addrOf(9), delta: diff(before, after)}
	if n := len(m.encode()); n > 250 {
		t.Errorf("%d bytes", n)
	} else {
		t.Logf("%d bytes", n)
	}
}

func TestDiffAndApply(t *testing.T) {
	second := func(r record) record {
		a := attachment(netip.MustParseAddr("198.18.0.9"), "x")
		a.Network.VNI++
		r.attachments = append(r.attachments, a)
		return r
	}
	moved := testRecord("a", "b")
	moved.attachments[0].StaticFDB = false
	records := []record{
		testRecord(), testRecord("a"), testRecord("a", "b"), testRecord("b"), moved,
		second(testRecord("a")), {name: "host-9"},
	}
	for i, from := range records {
		for j, to := range records {
			from.version = version{incarnation: 1, sequence: 1, sum: contentSum(false, from.attachments)}
			to.version = version{incarnation: 1, sequence: 2, sum: contentSum(false, to.attachments)}
			d := diff(from, to)
			got, err := d.apply(from)
			if err != nil {
				t.Errorf("%d to %d: %v", i, j, err)
			} else if contentSum(false, got.attachments) != to.version.sum || got.version != to.version {
				t.Errorf("%d to %d: got %+v", i, j, got)
			}
			// On anything else it is noticed.
			other := testRecord("q")
			if _, err := d.apply(other); err == nil && i != 0 && j != 6 && j != 0 {
				t.Errorf("%d to %d: applied to another record", i, j)
			}
		}
	}
}

func TestVersions(t *testing.T) {
	v := func(i, s uint64, sum byte) version {
		return version{incarnation: i, sequence: s, sum: [sumLen]byte{sum}}
	}
	sum := [sumLen]byte{7}
	tests := []struct {
		name              string
		own, others, want version
	}{
		{"the first", version{}, version{}, v(1, 1, 7)},
		{"the next", v(1, 4, 1), version{}, v(1, 5, 7)},
		{"the next that others have seen", v(1, 4, 1), v(1, 4, 1), v(1, 5, 7)},
		{"above an earlier life", version{}, v(3, 9, 1), v(4, 1, 7)},
		{"above an earlier life that counted as far", v(1, 4, 1), v(1, 5, 1), v(2, 1, 7)},
		{"above an earlier life that counted further", v(1, 4, 1), v(1, 90, 1), v(2, 1, 7)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.own.after(tt.others, sum); got != tt.want || got.compare(tt.others) <= 0 {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// fuzz runs decode on messages of one kind: no panic, and what is taken is
// encoded as it came.
func fuzz(f *testing.F, kind byte, more func(*testing.T, message)) {
	for _, m := range examples() {
		if m.kind == kind {
			f.Add(m.encode()[2:])
		}
	}
	f.Fuzz(func(t *testing.T, rest []byte) {
		data := append([]byte{protocolVersion, kind}, rest...)
		m, err := decode(data)
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Errorf("error %v", err)
			}
			return
		}
		if got := m.encode(); !bytes.Equal(got, data) {
			t.Errorf("%x became %x", data, got)
		}
		if more != nil {
			more(t, m)
		}
	})
}

func FuzzDigests(f *testing.F) { fuzz(f, kindDigests, nil) }
func FuzzWant(f *testing.F)    { fuzz(f, kindWant, nil) }
func FuzzSummary(f *testing.F) { fuzz(f, kindSummary, nil) }

// FuzzRecords: a record that is taken passes the check that this host's own must.
func FuzzRecords(f *testing.F) {
	fuzz(f, kindRecords, func(t *testing.T, m message) {
		for _, h := range m.records {
			if err := cluster.Check(h.attachments); err != nil {
				t.Error(err)
			}
		}
	})
}

// FuzzContent is FuzzRecords without the sum, which stops nearly all that a
// fuzzer makes up.
func FuzzContent(f *testing.F) {
	for _, r := range []record{testRecord("a", "b"), testRecord(), {left: true}} {
		var w writer
		w.content(r.left, r.attachments)
		f.Add(w.buf)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := reader{buf: data}
		left, attachments := r.content()
		if r.err != nil {
			return
		}
		var w writer
		if w.content(left, attachments); !bytes.Equal(append(w.buf, r.buf...), data) {
			t.Errorf("%x became %x", data, w.buf)
		}
		if err := cluster.Check(attachments); err != nil {
			t.Error(err)
		}
	})
}

// FuzzDelta: whatever a delta says, what it makes of a record is valid or
// refused, and the record stays as it was.
func FuzzDelta(f *testing.F) {
	base := testRecord("a", "b")
	fuzz(f, kindDelta, func(t *testing.T, m message) {
		// A record's sum would stop nearly all; give it the one it leads to.
		d := m.delta
		for range 2 {
			next, err := d.apply(base)
			if err == nil {
				if err := cluster.Check(next.attachments); err != nil {
					t.Error(err)
				}
				break
			}
			d.version.sum = applied(d, base)
		}
		if contentSum(false, base.attachments) != base.version.sum {
			t.Error("the record was changed")
		}
	})
}

// applied returns the sum of what a delta leads to, if that is valid.
func applied(d delta, r record) [sumLen]byte {
	attachments := byKey(r.attachments)
	for _, k := range d.gone {
		delete(attachments, k)
	}
	var list []cluster.Membership
	for _, c := range d.changes {
		a := c.header
		a.Endpoints = c.endpoints(attachments[a.Network].Endpoints)
		attachments[a.Network] = a
	}
	for _, a := range attachments {
		list = append(list, a)
	}
	list, _ = cluster.Canonical(list)
	return contentSum(false, list)
}
