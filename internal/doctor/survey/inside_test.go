package survey

import "testing"

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
