package paritytest

import (
	"strings"
	"testing"
)

// What a container's start sets. BRIDGE, VETH (the host's end) and eth0 stand for the interfaces;
// "container" says where. netavark's bridge leaves out what has a reason here.
var sysctls = []struct {
	container bool
	name      string
	want      string
	onlyVXLAN string // why netavark's bridge has another value
}{
	{false, "net.ipv4.ip_forward", "1", ""},
	{false, "net.ipv6.conf.all.forwarding", "1", ""},
	{false, "net.ipv4.conf.BRIDGE.forwarding", "1", ""},
	{false, "net.ipv4.conf.BRIDGE.rp_filter", "2", ""},
	{false, "net.ipv4.conf.BRIDGE.route_localnet", "1", ""},
	{false, "net.ipv6.conf.BRIDGE.accept_ra", "0", ""},
	{false, "net.ipv6.conf.BRIDGE.accept_dad", "0", ""},
	{false, "net.ipv4.conf.VETH.rp_filter", "2", "netavark trusts that a bridge port is never asked"},
	{false, "net.ipv6.conf.VETH.accept_dad", "0", ""},
	{true, "net.ipv4.conf.eth0.rp_filter", "2", ""},
	{true, "net.ipv4.conf.eth0.arp_notify", "1", ""},
	{true, "net.ipv6.conf.eth0.accept_dad", "0", ""},
	{true, "net.ipv6.conf.eth0.ndisc_notify", "1", "an address of ours may have been on another host a moment ago"},
	{true, "net.ipv6.conf.eth0.accept_ra", "0", "on an overlay anybody's advertisements come from every host"},
	{true, "net.ipv6.conf.eth0.autoconf", "0", ""},
}

func TestSysctls(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(s *scene) {
		s.mustRun(s.a, "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1")
		s.createNetwork("net", "--subnet 10.9.0.0/24 --subnet fd00:9::/64")
		s.mustRun(s.a, "podman run -d --name c --network net:host_interface_name=vethc -p 8080:80 localhost/web")
		replace := strings.NewReplacer("BRIDGE", s.bridgeOf("net"), "VETH", "vethc")
		for _, tt := range sysctls {
			if tt.onlyVXLAN != "" && s.driver == "bridge" {
				continue
			}
			name, prefix := replace.Replace(tt.name), ""
			if tt.container {
				prefix = execInContainer("c")
			}
			if got := s.mustRun(s.a, prefix+"sysctl -n "+name); got != tt.want {
				s.Errorf("%s (container: %v) is %s, want %s", name, tt.container, got, tt.want)
			}
		}
		// IPv6 is usable at once: no address waits for duplicate address detection.
		for _, where := range []string{"ip", execInContainer("c") + "ip"} {
			if got := s.mustRun(s.a, "podman restart -t0 c >/dev/null; "+where+" -6 address show tentative scope global"); got != "" {
				s.Errorf("tentative: %s", got)
			}
		}
	})
}

// route_localnet is on only while a port is published; netavark never turns it off again.
func TestRouteLocalnetOnlyWhileAPortIsPublished(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1)
	s.createNetwork("net", "--subnet 10.9.0.0/24")
	want := func(value, when string) {
		s.Helper()
		if got := s.mustRun(s.a, "sysctl -n net.ipv4.conf.br-vxlan-net.route_localnet"); got != value {
			s.Errorf("%s: route_localnet is %s, want %s", when, got, value)
		}
	}
	s.runPeer(s.a, "plain", "--network net")
	want("0", "without a port")
	s.runPeer(s.a, "one", "--network net -p 8080:80")
	want("1", "with a port")
	s.runPeer(s.a, "two", "--network net -p 8081:80")
	s.removeContainers("one")
	want("1", "with the other port")
	s.checkAnswers(question{"host-a", "tcp/127.0.0.1:8081", "two:80"})
	s.removeContainers("two")
	want("0", "with no port again")
}

// makeSysctlsReadOnly is a script that makes /proc/sys read-only on the host.
const makeSysctlsReadOnly = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys"

// With a read-only /proc/sys a container starts if nothing needs to be written. Otherwise the error
// names the sysctl.
func TestReadOnlySysctlsAreReported(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(s *scene) {
		const prepared = "net.ipv4.conf.default.rp_filter=2 net.ipv4.conf.default.arp_notify=1 net.ipv6.conf.default.accept_dad=0 " +
			"net.ipv6.conf.default.autoconf=0 net.ipv6.conf.default.ndisc_notify=1 net.ipv6.conf.default.accept_ra=0 "
		s.mustRun(s.a, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.default.route_localnet=1 "+prepared)
		for _, netns := range []string{"prepared", "plain"} {
			s.mustRun(s.a, "ip netns add "+netns)
		}
		s.mustRun(s.a, "ip netns exec prepared sysctl -qw "+prepared)
		s.mustRun(s.a, makeSysctlsReadOnly)
		ports := []object{{"container_port": 80, "host_port": 8080, "protocol": "tcp", "range": 1, "host_ip": ""}}
		r := request{id: "prepared", ports: ports}
		s.mustRun(s.a, s.runNetavark("setup", r))
		s.runPeerInNetns("prepared")
		s.checkAnswers(question{"outside", "tcp/" + hostA4 + ":8080", "prepared:80"}, question{"host-a", "tcp/127.0.0.1:8080", "prepared:80"})
		plain := request{id: "plain", perNet: object{"static_ips": []string{"10.9.0.21", "fd00:9::21"}}}
		got := s.mustFail(s.a, s.runNetavark("setup", plain))
		if s.driver == "vxlan" { // netavark 1.14 says only that the file system is read only
			if !strings.Contains(got, "net/ipv") && !strings.Contains(got, "net.ipv") {
				s.Errorf("the error does not name the sysctl: %s", got)
			}
			s.mustRun(s.a, s.runNetavark("teardown", plain)+" || true")
		}
		s.mustRun(s.a, "ip netns pids prepared | xargs -r kill; "+s.runNetavark("teardown", r))
		if s.driver == "vxlan" {
			s.checkNothingLeft()
		}
	})
}

// On an IPv4 network it does not matter that accept_ra and autoconf cannot be turned off: what
// netavark's own test prepares is enough. The error of what does matter names it.
func TestReadOnlySysctlsThatMayStay(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(s *scene) {
		s.mustRun(s.a, "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.default.rp_filter=2 net.ipv4.conf.default.route_localnet=1 net.ipv6.conf.default.accept_ra=1")
		s.mustRun(s.a, "ip netns add c; ip netns exec c sysctl -qw net.ipv4.conf.default.arp_notify=1 net.ipv4.conf.default.rp_filter=2")
		s.mustRun(s.a, makeSysctlsReadOnly)
		r := request{
			id: "c", perNet: object{"static_ips": []string{"10.9.0.20"}},
			network: object{"ipv6_enabled": false, "subnets": []object{{"subnet": "10.9.0.0/24", "gateway": "10.9.0.1"}}},
			ports:   []object{{"container_port": 80, "host_port": 8080, "protocol": "tcp", "range": 1, "host_ip": ""}},
		}
		s.mustRun(s.a, s.runNetavark("setup", r))
		s.runPeerInNetns("c")
		s.checkAnswers(question{"outside", "tcp/" + hostA4 + ":8080", "c:80"}, question{"host-a", "tcp/127.0.0.1:8080", "c:80"})
		s.mustRun(s.a, "ip netns pids c | xargs -r kill; "+s.runNetavark("teardown", r))
		s.mustRun(s.a, "mount -o remount,bind,rw /proc/sys && sysctl -qw net.ipv4.ip_forward=0 && mount -o remount,bind,ro /proc/sys")
		if got := s.mustFail(s.a, s.runNetavark("setup", r)); s.driver == "vxlan" && !strings.Contains(got, "net/ipv4/ip_forward") {
			s.Errorf("the error does not name the parameter: %s", got)
		}
		if s.driver == "vxlan" {
			s.checkNothingLeft()
		}
	})
}

// systemd applies its own settings again at any time, such as with `sysctl --system`. The driver's
// are in a file of their own. The lab has no systemd, only the directory that sd_booted(3) looks
// for.
func TestSysctlsSurviveSystemdSysctl(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1) // netavark does this from 1.16 on
	s.mustRun(s.a, "mkdir -p /run/systemd/system /etc/sysctl.d; "+
		"printf 'net.ipv4.conf.*.rp_filter = 1\\nnet.ipv4.ip_forward = 0\\nnet.ipv6.conf.all.forwarding = 0\\n' > /etc/sysctl.d/50-strict.conf")
	s.createNetwork("net", "--subnet 10.9.0.0/24 --subnet fd00:9::/64")
	s.createNetwork("other", "--subnet 10.8.0.0/24")
	s.runPeer(s.a, "c", "--network net -p 8080:80")
	s.runPeer(s.a, "other", "--network other")
	s.mustRun(s.a, "sysctl --system >/dev/null 2>&1 || true")
	if got := s.mustRun(s.a, "sysctl -n net.ipv4.conf.eth0.rp_filter"); got != "1" {
		t.Fatalf("the file of the test did nothing: eth0 has %s", got)
	}
	for _, key := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv4.conf.br-vxlan-net.forwarding"} {
		if got := s.mustRun(s.a, "sysctl -n "+key); got != "1" {
			t.Errorf("%s is %s, want 1", key, got)
		}
	}
	for _, bridge := range []string{"br-vxlan-net", "br-vxlan-other"} {
		if got := s.mustRun(s.a, "sysctl -n net.ipv4.conf."+bridge+".rp_filter"); got != "2" {
			t.Errorf("%s: rp_filter is %s, want 2; files: %s", bridge, got, s.mustRun(s.a, "grep -r . /run/sysctl.d || true"))
		}
	}
	s.checkAnswers(question{"host-a", "tcp/127.0.0.1:8080", "c:80"})
	s.removeContainers("c", "other")
	if got := s.mustRun(s.a, "ls -A /run/sysctl.d 2>/dev/null || true"); got != "" {
		t.Errorf("left: %s", got)
	}
}
