package survey

import (
	"net/netip"
	"slices"
	"testing"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

func TestSlowQueue(t *testing.T) {
	for _, tt := range []struct {
		text         string
		found, drops bool
	}{
		{"qdisc noqueue 0: root refcnt 2\n", false, false},
		{"qdisc fq_codel 0: root refcnt 2 limit 10240p\n", false, false},
		{"qdisc netem 8001: root refcnt 2 limit 1000 loss 100%\n", true, true},
		{"qdisc tbf 8001: root refcnt 2 rate 8Kbit burst 2000b lat 1ms \n", true, true},
		{"qdisc tbf 8001: root refcnt 2 rate 800bit burst 2000b lat 1ms \n", true, true},
		{"qdisc tbf 8001: root refcnt 2 rate 1Gbit burst 2000b lat 1ms \n", true, false},
		{"qdisc pfifo 8001: root refcnt 2 limit 0p\n", true, true},
		{"qdisc pfifo 8001: root refcnt 2 limit 1000p\n", false, false},
		{"qdisc bfifo 8001: root refcnt 2 limit 10b\n", true, true},
		{"qdisc bfifo 8001: root refcnt 2 limit 15000b\n", false, false},
		{"qdisc htb 1: root refcnt 2 r2q 10 default 0x10\n", true, false},
	} {
		if hook, found := SlowQueue("eth0", tt.text); found != tt.found || hook.Drops != tt.drops {
			t.Errorf("%q: %v, %+v", tt.text, found, hook)
		}
	}
}

func TestXDPHook(t *testing.T) {
	const program = "    prog/xdp id 22358 name  tag b11459a0e11ca14c jited load_time 4 created_by_uid 0 \n"
	generic := XDPHook("eth0", "3: eth0: <UP> mtu 1500 xdpgeneric qdisc noop\n"+program)
	if generic.Remove != "ip link set dev eth0 xdpgeneric off" || !generic.Drops || generic.Text == "" {
		t.Errorf("%+v", generic)
	}
	native := XDPHook("eth0", "3: eth0: <UP> mtu 1500 xdp qdisc noop\n    prog/xdp id 7 name balancer tag 00000000e11ca14c jited\n")
	if native.Remove != "ip link set dev eth0 xdp off" || native.Drops {
		t.Errorf("%+v", native)
	}
}

// What somebody fixed is found in the tables as the kernel has them.
func TestFixedEntries(t *testing.T) {
	ns := netnstest.New(t)
	netnstest.Shell(t, ns)(`ip link add brx type bridge; ip link add vx type vxlan id 5 dstport 4789; ip link set vx master brx up; ip link set brx up
bridge fdb replace 02:00:00:00:00:07 dev vx dst 198.18.0.77 self permanent; bridge fdb replace 02:00:00:00:00:08 dev vx master static
ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:09 dev brx nud permanent`)
	c := collector{ctx: t.Context()}
	c.Networks = make([]doctor.Network, 1)
	c.Networks[0].Bridge.Name = "brx"
	if err := netns.Do(ns, func() error { c.entries(); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []doctor.FixedEntry{
		{Device: "vx", MAC: kernel.MAC{2, 0, 0, 0, 0, 7}, Self: true, Dst: netip.MustParseAddr("198.18.0.77")},
		{Device: "vx", MAC: kernel.MAC{2, 0, 0, 0, 0, 8}},
		{Device: "brx", MAC: kernel.MAC{2, 0, 0, 0, 0, 9}, Addr: netip.MustParseAddr("10.0.0.2")},
	} {
		if !slices.Contains(c.Networks[0].FixedEntries, want) {
			t.Errorf("no %+v in %+v", want, c.Networks[0].FixedEntries)
		}
	}
}

// A block of filters is taken off with what has it: it cannot be deleted through a device.
func TestDetachBlock(t *testing.T) {
	const filters = "filter block 1 protocol all pref 49152 u32 chain 0 \n"
	const queues = "qdisc noqueue 0: root refcnt 2 \nqdisc clsact ffff: parent ffff:fff1 ingress_block 1 \n"
	if got := detachBlock("eth0", filters, queues); got != "tc qdisc delete dev eth0 clsact" {
		t.Error(got)
	}
	if got := detachBlock("eth0", "filter protocol all pref 49152 u32 chain 0 \n", queues); got != "" {
		t.Error(got)
	}
}

// Filters that choose a class are none of a fault, unless they drop.
func TestQueueFilter(t *testing.T) {
	const class = "filter parent 1: protocol ip pref 49152 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 " +
		"flowid 1:10 \n"
	if hook, found := QueueFilter("eth0", class); found {
		t.Errorf("%+v", hook)
	}
	hook, found := QueueFilter("eth0", class+"\taction order 1: gact action drop\n")
	if !found || hook.Remove != "tc filter delete dev eth0 parent 1:" {
		t.Errorf("%v, %+v", found, hook)
	}
}

func TestOwnTranslations(t *testing.T) {
	const text = "table ip f {\n\tchain c {\n\t\ttype nat hook output priority -100; policy accept;\n\t\tip " +
		"daddr 10.0.0.0/8 dnat to 192.0.2.7\n\t}\n}\n" +
		"table ip g {\n\tchain c {\n\t\ttype nat hook prerouting priority -100; policy accept;\n\t\ttcp dport 80 " +
		"dnat to 192.0.2.7\n\t}\n}\n"
	found := FindDroppingTables(text)
	if len(found) != 1 || found[0].Delete != "nft delete table ip f" || !found[0].Changes {
		t.Errorf("%+v", found)
	}
}
