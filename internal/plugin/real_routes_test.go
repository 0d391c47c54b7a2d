package plugin

import (
	"encoding/json"
	"strings"
	"testing"
)

// withRoutes returns a network with routes instead of its own.
func withRoutes(config json.RawMessage, routes string) json.RawMessage {
	const own = `[{"destination": "10.9.0.0/16", "gateway": "10.0.0.9", "metric": 7}]`
	return json.RawMessage(strings.Replace(string(config), own, routes, 1))
}

const routesThatLast = `[{"destination": "10.50.0.0/16", "route_type": "blackhole"}, {"destination": "10.51.0.0/16", "route_type": "unreachable"},
	{"destination": "10.52.0.0/16", "gateway": "10.91.0.1"}, {"destination": "10.53.0.0/16", "gateway": "10.0.0.9"},
	{"destination": "fd00:50::/64", "route_type": "prohibit"}, {"destination": "fd00:52::/64", "gateway": "fd00:91::1"}]`

// Routes by another interface of the container, and those that lead nowhere, leave with the
// network. The container's own stay.
func TestRealRoutesLeaveWithTheNetwork(t *testing.T) {
	host, _ := newRealHosts(t)
	ns, r := realRequest(t, "198.18.0.10", 1)
	r.Network = withRoutes(r.Network, routesThatLast)
	runShell(t, ns, `ip link set lo up; ip link add other type veth peer name end; ip link set end up
		ip address add 10.91.0.10/24 dev other; ip address add fd00:91::10/64 dev other nodad; ip link set other up
		ip route add blackhole 10.60.0.0/16; ip route add 10.61.0.0/16 via 10.91.0.1 proto static`)
	routes := func() string {
		return runShell(t, ns, "ip route show proto static; ip route show proto boot; ip -6 route show proto static")
	}
	before := routes()
	if _, err := host.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"blackhole 10.50.0.0/16", "unreachable 10.51.0.0/16", "10.52.0.0/16 via 10.91.0.1 dev other", "10.53.0.0/16 via 10.0.0.9 dev eth0",
		"prohibit fd00:50::/64", "fd00:52::/64 via fd00:91::1 dev other",
	} {
		if got := routes(); !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if err := host.Teardown(ns, r); err != nil {
		t.Fatal(err)
	}
	if after := routes(); after != before {
		t.Errorf("after teardown:\n%s\nwant\n%s", after, before)
	}
}

// A setup that fails takes back the routes that it made, and says which one it was.
func TestRealRouteThatNothingReaches(t *testing.T) {
	host, _ := newRealHosts(t)
	ns, r := realRequest(t, "198.18.0.10", 1)
	r.Network = withRoutes(r.Network, routesThatLast)
	_, err := host.Setup(ns, r)
	want := "no interface of the container reaches the gateway 10.91.0.1; connect the container to a network that does first"
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "10.52.0.0/16") {
		t.Errorf("got %v, want %s", err, want)
	}
	if got := runShell(t, ns, "ip route; ip -6 route; ip -br link"); strings.Contains(got, "10.") || strings.Contains(got, "eth0") {
		t.Errorf("left: %s", got)
	}
}

// A route that another network of the container has too stays until that leaves.
func TestRealRouteOfTwoNetworks(t *testing.T) {
	host, _ := newRealHosts(t)
	ns, first := realRequest(t, "198.18.0.10", 1)
	first.Network = withRoutes(first.Network, `[{"destination": "10.50.0.0/16", "route_type": "blackhole"}]`)
	second := first
	second.Network = json.RawMessage(strings.NewReplacer("vxlan-network", "second", "7c7b", "8d8c", `"100"`, `"101"`, "10.0.0.", "10.7.0.", "fd00:10::", "fd00:17::").
		Replace(string(first.Network)))
	second.Options = json.RawMessage(`{"interface_name": "eth1", "static_ips": ["10.7.0.2"]}`)
	for _, r := range []struct {
		step func() error
		want bool
	}{
		{func() error { _, err := host.Setup(ns, first); return err }, true},
		{func() error { _, err := host.Setup(ns, second); return err }, true},
		{func() error { return host.Teardown(ns, first) }, true},
		{func() error { return host.Teardown(ns, second) }, false},
	} {
		if err := r.step(); err != nil {
			t.Fatal(err)
		}
		if got := runShell(t, ns, "ip route"); strings.Contains(got, "blackhole 10.50.0.0/16") != r.want {
			t.Errorf("the route should be there: %v; got %s", r.want, got)
		}
	}
}

// The error says which name is taken, by what and where, and what to do.
func TestRealInterfaceNameTaken(t *testing.T) {
	for make, what := range map[string]string{
		"ip link add eth0 type veth peer name end":                                   `a veth device`,
		"ip link add eth0 type bridge; ip link set eth0 alias mine":                  `a bridge device (alias "mine")`,
		"ip link add long0 type bridge; ip link property add dev long0 altname eth0": `a bridge device`,
	} {
		host, _ := newRealHosts(t)
		ns, r := realRequest(t, "198.18.0.10", 1)
		runShell(t, ns, make)
		_, err := host.Setup(ns, r)
		want := `interface "eth0": the container has one of that name already, ` + what + " in network namespace " + ns +
			"; choose another with --network NETWORK:interface_name=NAME, or remove that one"
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", make, err, want)
		}
		if got := runShell(t, host.ns, "ip -br link"); strings.Contains(got, "vxlan") || strings.Contains(got, "veth") {
			t.Errorf("left: %s", got)
		}
		if files := storedFiles(t, host.Plugin); len(files) > 0 {
			t.Errorf("left %v", files)
		}
		runShell(t, ns, "ip link show eth0")
	}
}
