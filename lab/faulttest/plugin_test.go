package faulttest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// request is what netavark passes to the plugin: both families, a published port, a route. Its
// arguments number the network and the container.
const request = `{"container_id": "c%[1]d", "container_name": "container-%[1]d",
 "port_mappings": [{"container_port": 80, "host_ip": "", "host_port": 808%[1]d, "protocol": "tcp", "range": 1}],
 "network_options": {"interface_name": "eth0", "static_ips": ["10.%[1]d.0.2", "fd00:%[1]d::2"]},
 "network": {"name": "net%[1]d", "id": "%[1]d123456789abcdef", "driver": "vxlan", "network_interface": "br-vxlan-net%[1]d",
  "options": {"vni": "10%[1]d", "local_ip": "198.18.0.%[2]d", "remote_ips": "198.18.0.77,198.18.0.78", "physical_interface": "eth0"},
  "subnets": [{"subnet": "10.%[1]d.0.0/24", "gateway": "10.%[1]d.0.1"}, {"subnet": "fd00:%[1]d::/64", "gateway": "fd00:%[1]d::1"}],
  "routes": [{"destination": "10.77.0.0/16", "gateway": "10.%[1]d.0.9", "metric": 7}],
  "dns_enabled": false, "internal": false, "ipv6_enabled": true}}
`

// plugin runs the plugin on a host for container 1 on network 1. Container 2 on network 2 is there
// all the time and must not change.
type plugin struct {
	*testing.T
	host      *lab.Host
	idle      string // snapshot without container 1
	idleNames string // and its sketch
	running   string // snapshot with it
}

// startPlugin prepares a host, and takes snapshots with and without container 1 from an undisturbed
// run.
func startPlugin(t *testing.T, h *lab.Host) *plugin {
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
	// The first network makes changes that stay, such as forwarding; they are part of the
	// snapshots.
	p.mustSucceed("setup")
	p.mustSucceed("teardown")
	p.idle, p.idleNames = p.snapshot(), p.snapshotNames()
	p.mustSucceed("setup")
	p.running = p.snapshot()
	p.mustSucceed("teardown")
	p.checkSnapshot("an undisturbed run", p.idle)
	return p
}

func (p *plugin) snapshot() string { return labtest.Snapshot(p, p.host, "c1", "c2") }

// snapshotNames is a quick, rough snapshot.
func (p *plugin) snapshotNames() string {
	return labtest.Sh(p, p.host, `ip -br link | sed 's/@.*//'; find /run/vxlan | sort; nft list ruleset | sed -E 's/counter .*//'
		ip -n c1 -br link; ip -n c1 route`)
}

// mustSucceed runs a verb that must succeed.
func (p *plugin) mustSucceed(verb string) {
	p.Helper()
	labtest.Sh(p, p.host, "vxlan "+verb+" /run/netns/c1 </tmp/request1")
}

// checkSnapshot fails if the host is not as in a snapshot.
func (p *plugin) checkSnapshot(after, want string) {
	p.Helper()
	if changes := labtest.Changes(want, p.snapshot()); changes != "" {
		p.Errorf("after %s:\n%s", after, changes)
	}
}

// checkIdle fails if anything of container 1 is left.
func (p *plugin) checkIdle(after string) {
	p.Helper()
	if changes := labtest.Changes(p.idleNames, p.snapshotNames()); changes != "" {
		p.Errorf("after %s:\n%s", after, changes)
		p.mustSucceed("teardown")
	}
}

// result is how a run with a fault ended.
type result struct {
	faultyCall string // the call that had the fault, "" if there were fewer calls
	status     int
	output     string // on standard output, where the plugin reports errors
}

// runWithFault runs a verb with a fault at its nth call.
func (p *plugin) runWithFault(verb, fault string, nth int) result {
	p.Helper()
	out := labtest.Sh(p, p.host, fmt.Sprintf(`status=0
		faultinject -at %d -%s vxlan %s /run/netns/c1 </tmp/request1 >/tmp/output 2>/tmp/errors || status=$?
		echo $status $(tail -n 1 /tmp/errors)
		cat /tmp/output; head -n -1 /tmp/errors`, nth, fault, verb))
	first, output, _ := strings.Cut(out, "\n")
	fields := strings.Fields(first)
	status, err := strconv.Atoi(fields[0])
	switch {
	case err == nil && len(fields) == 4 && fields[1] == "injected":
		return result{fields[3], status, output}
	case err == nil && len(fields) == 3 && fields[1] == "counted":
		return result{"", status, output}
	}
	p.Fatalf("faultinject printed %q", out)
	return result{}
}

// forEachCall runs a verb with a fault at its first call, then at its second, and so on. prepare
// brings the host into the state before the verb; follow checks the result.
func (p *plugin) forEachCall(verb, fault string, prepare func(), follow func(nth int, what string, r result)) {
	p.Helper()
	kinds := map[string]int{}
	for nth := 1; !p.Failed(); nth++ {
		prepare()
		r := p.runWithFault(verb, fault, nth)
		if r.faultyCall == "" {
			break
		}
		kinds[r.faultyCall]++
		follow(nth, fmt.Sprintf("%s with a %s at call %d, %s, status %d, %q", verb, fault, nth, r.faultyCall, r.status, r.output), r)
	}
	p.mustSucceed("teardown")
	p.Logf("%s: %s at each of %v", verb, fault, kinds)
	if kinds["sendto"] < 10 {
		p.Errorf("only %d sends to the kernel: this test proves nothing any more", kinds["sendto"])
	}
}
