package rtnl_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
)

// overlay is underlay with the bridge br0 and its port vx, both up. The bridge's MAC is set, as in
// a network: when it changes, all its neighbours go (neigh_changeaddr in net/core/neighbour.c), and
// without one of its own it changes with the ports.
func overlay(t testing.TB) host {
	t.Helper()
	h := underlay(t)
	h.apply(bridge("br0"), kernel.SetMAC{Name: "br0", MAC: kernel.MAC{6}}, kernel.SetUp{Name: "br0"}, vxlan("vx", v4), kernel.SetMaster{Name: "vx", Master: "br0"}, kernel.SetUp{Name: "vx"})
	return h
}

// tables returns n entries in each table.
func tables(n int) (t kernel.ForwardingTables) {
	for i := range n {
		mac := kernel.MAC{2, 0}
		binary.BigEndian.PutUint32(mac[2:], uint32(i))
		t.FDB = append(t.FDB, kernel.FDB{MAC: mac, Dst: netip.AddrFrom4([4]byte{198, 18, 1, byte(i % 100)})})
		t.Static = append(t.Static, mac)
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if i%2 == 1 {
			addr = netip.AddrFrom16([16]byte{0xfd, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)})
		}
		t.Neighbours = append(t.Neighbours, kernel.Neighbour{Addr: addr, MAC: mac})
	}
	return t
}

func (h host) tables() kernel.ForwardingTables {
	h.Helper()
	t, err := h.ForwardingTables("br0", "vx", nil)
	if err != nil {
		h.Fatal(err)
	}
	return t
}

// sameTables compares in any order.
func sameTables(t testing.TB, have, want kernel.ForwardingTables) {
	t.Helper()
	sameSet(t, "FDB", have.FDB, want.FDB)
	sameSet(t, "static", have.Static, want.Static)
	sameSet(t, "neighbours", have.Neighbours, want.Neighbours)
}

func sameSet[T comparable](t testing.TB, what string, have, want []T) {
	t.Helper()
	count := map[T]int{}
	for _, e := range have {
		count[e]++
	}
	for _, e := range want {
		count[e]--
	}
	for e, n := range count {
		if n != 0 {
			t.Errorf("%s: %v: %+d", what, e, n)
		}
	}
}

func change(add, del kernel.ForwardingTables) kernel.ForwardingChanges {
	return kernel.ForwardingChanges{Bridge: "br0", Device: "vx", Add: add, Delete: del}
}

func (h host) change(add, del kernel.ForwardingTables) {
	h.Helper()
	if err := h.ChangeForwardingTables(change(add, del)); err != nil {
		h.Fatal(err)
	}
}

// More entries than fit into a batch, added twice and deleted twice.
func TestTablesRoundTrip(t *testing.T) {
	h := overlay(t)
	sameTables(t, h.tables(), kernel.ForwardingTables{})
	want := tables(700)
	for range 2 {
		h.change(want, kernel.ForwardingTables{})
		sameTables(t, h.tables(), want)
	}
	del := tables(300)
	for range 2 {
		h.change(kernel.ForwardingTables{}, del)
		sameTables(t, h.tables(), kernel.ForwardingTables{FDB: want.FDB[300:], Static: want.Static[300:], Neighbours: want.Neighbours[300:]})
	}
	if got := h.link("vx").FDB; len(got) != 400 {
		t.Errorf("the device has %d entries", len(got))
	}
}

// Entries that are asked for one by one are those of the list: of keys that are there in part, that
// are not there, and that were learned or are somebody else's.
func TestSingleEntriesAreThoseOfTheList(t *testing.T) {
	h := overlay(t)
	want := tables(8)
	h.change(want, kernel.ForwardingTables{FDB: want.FDB[2:4], Static: want.Static[4:6]})
	h.change(kernel.ForwardingTables{}, kernel.ForwardingTables{FDB: want.FDB[2:4], Static: want.Static[4:6], Neighbours: want.Neighbours[6:]})
	h.tool("bridge", "fdb", "add", "02:00:00:00:00:77", "dev", "vx", "dst", "198.18.0.9", "self", "dynamic")
	h.tool("bridge", "fdb", "add", "02:00:00:00:00:78", "dev", "vx", "master", "dynamic")
	h.tool("ip", "address", "add", "10.0.0.250/8", "dev", "br0")
	h.tool("ip", "neigh", "replace", "10.0.0.77", "lladdr", "02:00:00:00:00:77", "dev", "br0", "nud", "stale")
	keys := kernel.ForwardingKeys{
		MACs:  append(slices.Clone(want.Static), kernel.MAC{2, 5: 0x77}, kernel.MAC{2, 5: 0x78}, kernel.MAC{2, 5: 0x79}),
		Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.77"), netip.MustParseAddr("10.0.0.78"), netip.MustParseAddr("fd00::78")},
	}
	for _, n := range want.Neighbours {
		keys.Addrs = append(keys.Addrs, n.Addr)
	}
	have, err := h.ForwardingTables("br0", "vx", &keys)
	if err != nil {
		t.Fatal(err)
	}
	sameTables(t, have, h.tables())
	if len(have.FDB) != 6 || len(have.Static) != 6 || len(have.Neighbours) != 6 {
		t.Errorf("got %+v", have)
	}
	if have, err := h.ForwardingTables("br0", "vx", &kernel.ForwardingKeys{}); err != nil || len(have.FDB)+len(have.Static)+len(have.Neighbours) > 0 {
		t.Errorf("without keys: %+v, %v", have, err)
	}
}

// What is there in another way is replaced, and what was learned is left out.
func TestTablesReplaceEntries(t *testing.T) {
	h := overlay(t)
	h.tool("ip", "address", "add", "10.0.0.250/8", "dev", "br0")
	h.tool("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "vx", "dst", "198.18.0.9", "self", "permanent")
	const mac = "02:00:00:00:00:00"
	h.tool("bridge", "fdb", "add", mac, "dev", "vx", "dst", "198.18.0.9", "self", "dynamic")
	h.tool("bridge", "fdb", "add", mac, "dev", "vx", "master", "dynamic")
	h.tool("ip", "neigh", "add", "10.0.0.0", "lladdr", "02:00:00:00:00:99", "dev", "br0", "nud", "reachable")
	sameTables(t, h.tables(), kernel.ForwardingTables{})
	want := tables(1)
	h.change(want, kernel.ForwardingTables{})
	sameTables(t, h.tables(), want)
	for _, tt := range []struct{ what, show, line string }{
		{"FDB of the device", "bridge fdb show dev vx", mac + " dst 198.18.1.0 self permanent"},
		{"FDB of the bridge", "bridge fdb show dev vx", mac + " sticky master br0 static"},
		{"neighbours", "ip neigh show dev br0", "10.0.0.0 lladdr " + mac + " PERMANENT"},
	} {
		if out := h.tool(strings.Fields(tt.show)...); strings.Count(out, tt.line) != 1 {
			t.Errorf("%s lacks %q:\n%s", tt.what, tt.line, out)
		}
	}
	// Another VTEP, and another MAC for the address; somebody made the entries special.
	h.tool("bridge", "fdb", "replace", mac, "dev", "vx", "dst", "198.18.0.9", "port", "99", "vni", "7", "self", "permanent")
	h.tool("ip", "neigh", "replace", "10.0.0.0", "lladdr", "02:00:00:00:00:99", "dev", "br0", "nud", "permanent", "router")
	have := h.tables()
	if e := have.FDB[0]; e.Port != 99 || e.VNI != 7 || have.Neighbours[0].MAC[5] != 0x99 {
		t.Errorf("got %v", have)
	}
	want.FDB[0].Dst = netip.MustParseAddr("198.18.0.77")
	h.change(want, kernel.ForwardingTables{})
	sameTables(t, h.tables(), want)
}

// An entry is deleted only where it is said to be: it may be another's by now.
func TestTablesDeleteWhatWasSeen(t *testing.T) {
	h := overlay(t)
	want := tables(1)
	h.change(want, kernel.ForwardingTables{})
	h.apply(bridge("other"), vxlan("vy", with(v4, func(t *kernel.Tunnel) { t.VNI = 7 })),
		kernel.SetMaster{Name: "vy", Master: "br0"})
	h.tool("bridge", "fdb", "replace", want.Static[0].String(), "dev", "vy", "master", "static")
	h.change(kernel.ForwardingTables{}, kernel.ForwardingTables{Static: want.Static, FDB: []kernel.FDB{{MAC: want.FDB[0].MAC, Dst: netip.MustParseAddr("198.18.0.9")}}})
	if out := h.tool("bridge", "fdb", "show", "dev", "vy"); !strings.Contains(out, "static") {
		t.Errorf("the entry of another port is gone: %s", out)
	}
	sameTables(t, h.tables(), kernel.ForwardingTables{FDB: want.FDB, Neighbours: want.Neighbours})
}

// Entries that fail are named, up to a number, and the others are made.
func TestTablesGoOnAfterAnError(t *testing.T) {
	h := overlay(t)
	want := tables(600)
	add := want
	add.FDB = slices.Clone(want.FDB)
	for i := range 30 {
		add.FDB[20*i].Dst = netip.MustParseAddr("2001:db8::9") // not of the device's family
	}
	err := h.refusesTables(change(add, kernel.ForwardingTables{}))
	for _, text := range []string{"change forwarding tables of br0 and vx: ", "bridge fdb replace 02:00:00:00:00:00 dev vx dst 2001:db8::9 self permanent: ", "and 20 entries more"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error lacks %q: %v", text, err)
		}
	}
	want.FDB = slices.DeleteFunc(slices.Clone(add.FDB), func(e kernel.FDB) bool { return e.Dst.Is6() })
	sameTables(t, h.tables(), want)
	h.change(tables(1), kernel.ForwardingTables{}) // the connection is still good
}

// All of several batches fail, and no answer is lost.
func TestTablesNameFirstFailures(t *testing.T) {
	h := overlay(t)
	h.apply(kernel.SetMaster{Name: "vx"})
	err := h.refusesTables(change(kernel.ForwardingTables{Static: tables(2000).Static}, kernel.ForwardingTables{}))
	if !strings.Contains(err.Error(), "and 1990 entries more") {
		t.Error(err)
	}
	for _, name := range []string{"vx", "br0"} {
		h.apply(kernel.DeleteLink{Name: name})
		if err := h.refusesTables(change(tables(1), kernel.ForwardingTables{})); !errors.Is(err, kernel.ErrNotFound) {
			t.Errorf("without %s: %v", name, err)
		}
		if _, err := h.ForwardingTables("br0", "vx", nil); !errors.Is(err, kernel.ErrNotFound) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// An FDB that is full is the kernel's to say.
func TestTablesFDBLimit(t *testing.T) {
	h := underlay(t)
	h.apply(bridge("br0"), vxlan("vx", with(v4, func(t *kernel.Tunnel) { t.FDBLimit = kernel.Some(uint32(5)) })), kernel.SetMaster{Name: "vx", Master: "br0"})
	err := h.refusesTables(change(kernel.ForwardingTables{FDB: tables(7).FDB}, kernel.ForwardingTables{}))
	if got := len(h.tables().FDB); got != 5 || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%d entries, %v", got, err)
	}
}

func TestTablesOverIPv6(t *testing.T) {
	h := underlay(t)
	h.apply(bridge("br0"), vxlan("vx", v6), kernel.SetMaster{Name: "vx", Master: "br0"})
	want := tables(2)
	for i := range want.FDB {
		want.FDB[i].Dst = netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", i+2))
	}
	h.apply(kernel.SetUp{Name: "br0"})
	h.change(want, kernel.ForwardingTables{})
	sameTables(t, h.tables(), want)
	h.change(kernel.ForwardingTables{}, want)
	sameTables(t, h.tables(), kernel.ForwardingTables{})
}

// A change of learning and of a port's flags keeps the device, and all else about it.
func TestLearningAndPortFlagsInPlace(t *testing.T) {
	h := overlay(t)
	h.apply(kernel.AddFDB{Name: "vx", FDB: kernel.FDB{Dst: netip.MustParseAddr("198.18.0.9")}})
	before, err := h.Index("vx")
	if err != nil {
		t.Fatal(err)
	}
	want := h.link("vx")
	for _, on := range []bool{true, false, true} {
		want.Tunnel.Learning = on
		flags := kernel.PortFlags{Learning: kernel.Some(!on), Suppress: kernel.Some(on)}
		h.apply(kernel.SetLearning{Name: "vx", On: on})
		h.setPort(flags)
		if got := h.portFlags("vx"); got != flags {
			t.Errorf("got %+v", got)
		}
		if got := h.link("vx"); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	h.setPort(kernel.PortFlags{Suppress: kernel.Some(false)})
	h.setPort(kernel.PortFlags{})
	if got := h.portFlags("vx"); got != (kernel.PortFlags{Learning: kernel.Some(false), Suppress: kernel.Some(false)}) {
		t.Errorf("got %+v", got)
	}
	if after, err := h.Index("vx"); after != before || err != nil {
		t.Error("the device is another", err)
	}
	if h.portFlags("br0") != (kernel.PortFlags{}) {
		t.Error("a bridge has the flags of a port")
	}
	err = h.refuses(kernel.SetLearning{Name: "gone"}, "no such device")
	set := h.SetPort("gone", kernel.PortFlags{Learning: kernel.Some(true)})
	_, get := h.PortFlags("gone")
	for _, err := range []error{err, set, get} {
		if !errors.Is(err, kernel.ErrNotFound) {
			t.Errorf("not recognised: %v", err)
		}
	}
	if want := "bridge link set dev gone learning on: no such device"; set.Error() != want {
		t.Errorf("error is %q, not %q", set, want)
	}
}

func (h host) setPort(f kernel.PortFlags) {
	h.Helper()
	if err := h.SetPort("vx", f); err != nil {
		h.Fatal(err)
	}
}

func (h host) portFlags(name string) kernel.PortFlags {
	h.Helper()
	f, err := h.PortFlags(name)
	if err != nil {
		h.Fatal(err)
	}
	return f
}

func (h host) refusesTables(ch kernel.ForwardingChanges) error {
	h.Helper()
	err := h.ChangeForwardingTables(ch)
	if err == nil {
		h.Fatal("no error")
	}
	return err
}

// BenchmarkTables reports the mean of each step in ms: entries added where there are none, added
// again, read, and deleted.
func BenchmarkTables(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		all := tables(n)
		for name, t := range map[string]kernel.ForwardingTables{
			"fdb": {FDB: all.FDB}, "static": {Static: all.Static}, "neighbours": {Neighbours: all.Neighbours}, "all": all,
		} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) { benchTables(b, t) })
		}
	}
}

func benchTables(b *testing.B, t kernel.ForwardingTables) {
	h := overlay(b)
	w := newWatch(b)
	for b.Loop() {
		w.step("add", func() { h.change(t, kernel.ForwardingTables{}) })
		w.step("again", func() { h.change(t, kernel.ForwardingTables{}) })
		w.step("read", func() {
			if got := h.tables(); len(got.FDB) != len(t.FDB) || len(got.Static) != len(t.Static) || len(got.Neighbours) != len(t.Neighbours) {
				b.Fatalf("read %d, %d, %d entries", len(got.FDB), len(got.Static), len(got.Neighbours))
			}
		})
		w.step("link-entries", func() { h.link("vx") })
		w.step("delete", func() { h.change(kernel.ForwardingTables{}, t) })
	}
	w.report()
}

// watch takes the time of steps.
type watch struct {
	b     *testing.B
	spent map[string]time.Duration
}

func newWatch(b *testing.B) watch { return watch{b, map[string]time.Duration{}} }

func (w watch) step(name string, f func()) {
	start := time.Now()
	f()
	w.spent[name] += time.Since(start)
}

func (w watch) report() {
	w.b.ReportMetric(0, "ns/op") // of all steps: not what is asked
	for name, d := range w.spent {
		w.b.ReportMetric(float64(d.Microseconds())/1000/float64(w.b.N), name+"-ms")
	}
}
