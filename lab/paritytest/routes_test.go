package paritytest

import (
	"strings"
	"testing"
)

// What `ip route` shows in the container.
func TestRoutes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, flags string
		want, not   []string
	}{
		{
			"a default route of metric 100 in each family", "",
			[]string{"default via 10.9.0.1 dev eth0 metric 100", "default via fd00:9::1 dev eth0 metric 100"}, nil,
		},
		{
			"the metric is an option", "--opt metric=77",
			[]string{"default via 10.9.0.1 dev eth0 metric 77", "default via fd00:9::1 dev eth0 metric 77"}, []string{"metric 100"},
		},
		{
			"static routes with metrics", "--route 10.50.0.0/16,10.9.0.9 --route 10.51.0.0/16,10.9.0.9,70 --route fd00:51::/64,fd00:9::9,71",
			[]string{"10.50.0.0/16 via 10.9.0.9 dev eth0 metric 100", "10.51.0.0/16 via 10.9.0.9 dev eth0 metric 70", "fd00:51::/64 via fd00:9::9 dev eth0 metric 71",
				"default via 10.9.0.1"}, nil,
		},
		{
			"no_default_route keeps the static ones", "--opt no_default_route=true --route 10.50.0.0/16,10.9.0.9,70",
			[]string{"10.50.0.0/16 via 10.9.0.9 dev eth0 metric 70"}, []string{"default"},
		},
		{
			"internal keeps the static ones", "--internal --disable-dns --route 10.50.0.0/16,10.9.0.9,70",
			[]string{"10.50.0.0/16 via 10.9.0.9 dev eth0 metric 70"}, []string{"default"},
		},
	}
	onBoth(t, 1, func(s *scene) {
		for _, tt := range tests {
			s.runSubtest(tt.name, func(s *scene) {
				s.createNetwork("net", "--subnet 10.9.0.0/24 --subnet fd00:9::/64 "+tt.flags)
				s.mustRun(s.a, "podman run -d --name c --network net localhost/web")
				s.checkRoutes(s.mustRun(s.a, execInContainer("c")+"ip route; "+execInContainer("c")+"ip -6 route"), tt.want, tt.not)
				s.mustRun(s.a, "podman rm -f -t0 c; podman network rm net")
			})
		}
	})
}

func (s *scene) checkRoutes(got string, want, not []string) {
	s.Helper()
	got = strings.ReplaceAll(strings.ReplaceAll(got, "\n", " ; "), "proto static", "")
	got = strings.Join(strings.Fields(got), " ")
	for _, w := range want {
		if !strings.Contains(got, w) {
			s.Errorf("no %q in %s", w, got)
		}
	}
	for _, n := range not {
		if strings.Contains(got, n) {
			s.Errorf("there is %q in %s", n, got)
		}
	}
}

// Blackhole, unreachable and prohibit routes. The plugin is called directly, since the lab's Podman
// and netavark (1.14) do not know them.
func TestRouteTypes(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1)
	s.mustRun(s.a, "ip netns add c")
	setup := func(routes ...object) string {
		return s.runPlugin("setup", request{id: "c", network: object{"routes": routes}})
	}
	s.mustRun(s.a, setup(
		object{"destination": "10.50.0.0/16", "route_type": "blackhole"},
		object{"destination": "10.51.0.0/16", "route_type": "unreachable", "metric": 5},
		object{"destination": "10.52.0.0/16", "route_type": "prohibit"},
		object{"destination": "10.53.0.0/16", "route_type": "unicast", "gateway": "10.9.0.9"},
		object{"destination": "10.54.0.0/16", "route_type": "", "gateway": "10.9.0.9"},
		object{"destination": "fd00:50::/64", "route_type": "blackhole"},
		object{"destination": "fd00:51::/64", "route_type": "unreachable"},
		object{"destination": "fd00:52::/64", "route_type": "prohibit", "metric": 6},
	))
	s.checkRoutes(s.mustRun(s.a, "ip -n c route; ip -n c -6 route"), []string{
		"blackhole 10.50.0.0/16", "unreachable 10.51.0.0/16 metric 5", "prohibit 10.52.0.0/16",
		"10.53.0.0/16 via 10.9.0.9", "10.54.0.0/16 via 10.9.0.9",
		"blackhole fd00:50::/64", "unreachable fd00:51::/64", "prohibit fd00:52::/64 dev lo metric 6",
	}, nil)
	s.mustRun(s.a, s.runPlugin("teardown", request{id: "c"}))
	s.checkNothingLeft()
	tests := []struct {
		name  string
		route object
		want  string
	}{
		{"an unknown type", object{"destination": "10.50.0.0/16", "route_type": "nat"}, "nat"},
		{"unicast without a gateway", object{"destination": "10.50.0.0/16"}, "gateway"},
		{"blackhole with a gateway", object{"destination": "10.50.0.0/16", "route_type": "blackhole", "gateway": "10.9.0.9"}, "gateway"},
		{"a gateway of the other family", object{"destination": "10.50.0.0/16", "gateway": "fd00:9::9"}, "fd00:9::9"},
	}
	for _, tt := range tests {
		s.runSubtest(tt.name, func(s *scene) {
			got := s.mustFail(s.a, setup(tt.route))
			if !strings.Contains(got, tt.want) || !strings.Contains(got, "10.50.0.0/16") {
				s.Errorf("the error does not say %q of the route: %s", tt.want, got)
			}
			s.checkNothingLeft()
		})
	}
}
