package faulttest

import (
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// request is what netavark gives the plugin: both families, a published port, a route. The arguments number the network
// and the container.
const request = `{"container_id": "c%[1]d", "container_name": "container-%[1]d",
 "port_mappings": [{"container_port": 80, "host_ip": "", "host_port": 808%[1]d, "protocol": "tcp", "range": 1}],
 "network_options": {"interface_name": "eth0", "static_ips": ["10.%[1]d.0.2", "fd00:%[1]d::2"]},
 "network": {"name": "net%[1]d", "id": "%[1]d123456789abcdef", "driver": "vxlan", "network_interface": "br-vxlan-net%[1]d",
  "options": {"vni": "10%[1]d", "local_ip": "198.18.0.%[2]d", "remote_ips": "198.18.0.77,198.18.0.78", "physical_interface": "eth0"},
  "subnets": [{"subnet": "10.%[1]d.0.0/24", "gateway": "10.%[1]d.0.1"}, {"subnet": "fd00:%[1]d::/64", "gateway": "fd00:%[1]d::1"}],
  "routes": [{"destination": "10.77.0.0/16", "gateway": "10.%[1]d.0.9", "metric": 7}],
  "dns_enabled": false, "internal": false, "ipv6_enabled": true}}
`

// plugin runs the plugin on a host for container 1 on network 1. Container 2 on network 2 is there all the time, and
// part of what must not change.
type plugin struct {
	*testing.T
	host       *lab.Host
	idle       string // snapshot without container 1
	idleSketch string // and its sketch
	running    string // snapshot with it
}

// start prepares a host, and learns from an undisturbed run how it looks with container 1 and without.
func start(t *testing.T, h *lab.Host) *plugin {
	t.Helper()
	p := &plugin{T: t, host: h}
	for i := 1; i <= 2; i++ {
		data := fmt.Sprintf(request, i, h.Addr4().As4()[3])
		if err := h.WriteFile(fmt.Sprintf("/tmp/request%d", i), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		labtest.Sh(t, h, fmt.Sprintf("ip netns add c%d; ip -n c%[1]d link set lo up", i))
	}
	labtest.Sh(t, h, "vxlan setup /run/netns/c2 </tmp/request2")
	// What stays of the first network for as long as the host runs, such as forwarding, is there from now on.
	p.must("setup")
	p.must("teardown")
	p.idle, p.idleSketch = p.snapshot(), p.sketch()
	p.must("setup")
	p.running = p.snapshot()
	p.must("teardown")
	p.check("an undisturbed run", p.idle)
	return p
}

func (p *plugin) snapshot() string { return labtest.Snapshot(p, p.host, "c1", "c2") }

// sketch is a quick, rough snapshot.
func (p *plugin) sketch() string {
	return labtest.Sh(p, p.host, `ip -br link | sed 's/@.*//'; find /run/vxlan | sort; nft list ruleset | sed -E 's/counter .*//'
		ip -n c1 -br link; ip -n c1 route`)
}

// must runs a verb that must succeed.
func (p *plugin) must(verb string) {
	p.Helper()
	labtest.Sh(p, p.host, "vxlan "+verb+" /run/netns/c1 </tmp/request1")
}

// check fails if the host is not as in a snapshot.
func (p *plugin) check(after, want string) {
	p.Helper()
	if changes := labtest.Changes(want, p.snapshot()); changes != "" {
		p.Errorf("after %s:\n%s", after, changes)
	}
}

// checkIdle fails if anything of container 1 is left.
func (p *plugin) checkIdle(after string) {
	p.Helper()
	if changes := labtest.Changes(p.idleSketch, p.sketch()); changes != "" {
		p.Errorf("after %s:\n%s", after, changes)
		p.must("teardown")
	}
}

// result is how a disturbed run ended.
type result struct {
	injected bool // the fault happened
	twice    bool // in two threads, each of which came to its nth call
	index    int  // how many such calls of all threads there were, the faulted one included
	status   int
	output   string
}

// disturbed runs a verb with a fault, as strace writes it, at the nth call of a kind.
// strace's --seccomp-bpf, which would be quicker, loses the signal.
func (p *plugin) disturbed(verb, call, fault string, nth int) result {
	p.Helper()
	out := labtest.Sh(p, p.host, fmt.Sprintf(`status=0
		strace -f -qq -e trace=%[2]s -e inject=%[2]s:%[3]s:when=%[4]d -o /tmp/trace \
			vxlan %[1]s /run/netns/c1 </tmp/request1 >/tmp/output 2>/tmp/errors || status=$?
		count=$(sed '/INJECTED/q' /tmp/trace | grep -c ' %[2]s(' || true)
		echo $status $count $(grep -c INJECTED /tmp/trace || true)
		cat /tmp/output /tmp/errors`, verb, call, fault, nth))
	var r result
	injections := 0
	first, rest, _ := strings.Cut(out, "\n")
	if _, err := fmt.Sscan(first, &r.status, &r.index, &injections); err != nil {
		p.Fatalf("read result of strace: %v: %s", err, out)
	}
	r.output = rest
	r.injected = injections > 0 || r.status == 137 // killed
	r.twice = injections > 1
	return r
}

// eachCall disturbs a verb at its first call of a kind, at its second, and so on, until every call has had its fault.
// prepare brings the host into the state from which the verb starts, follow looks at what came of it.
func (p *plugin) eachCall(verb, call, fault string, prepare func(), follow func(what string, r result)) {
	p.Helper()
	covered := map[int]bool{}
	try := func(nth int) result {
		prepare()
		r := p.disturbed(verb, call, fault, nth)
		switch {
		case r.twice: // two faults at once, one of them in undoing the other, are more than the plugin can stand
			p.tidy()
		case r.injected:
			covered[r.index] = true
			follow(fmt.Sprintf("%s with %s at %s %d, status %d, %q", verb, fault, call, r.index, r.status, r.output), r)
		default:
			p.tidy()
		}
		return r
	}
	last := result{injected: true}
	for nth := 1; last.injected && !p.Failed(); nth++ {
		last = try(nth)
	}
	// strace counts the calls of each thread. Nearly always one thread of the plugin makes them all, and the nth call of
	// the thread is the nth of the process.
	for index := 1; index <= last.index && !p.Failed(); index++ {
		for tries := 0; !covered[index]; tries++ {
			if tries == 20 {
				p.Errorf("%s: could not disturb %s %d of %d", verb, call, index, last.index)
				break
			}
			try(index)
		}
	}
	p.Logf("%s: %s at each of %d %s", verb, fault, last.index, call)
}

// tidy removes container 1 if it is there.
func (p *plugin) tidy() { p.must("teardown") }
