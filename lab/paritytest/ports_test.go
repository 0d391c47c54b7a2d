package paritytest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// portTest is a container "web" with published ports on a dual-stack network, and who reaches what.
// "neighbour" is on the same network, "stranger" on another of the host, "far" on the other host.
type portTest struct {
	name    string
	publish string
	want    []question
	vxlan   []question // asked on vxlan only, since a bridge has no other host
}

const (
	net4, net6         = "10.9.0", "fd00:9:"
	gateway4, gateway6 = "10.9.0.1", "fd00:9::1"
)

// hostAddr returns the host's first address in the network "net": HOST in questions. Containers see
// it as the source of what the host masquerades. On a bridge it is the gateway's. On vxlan it is
// the host's own, since all hosts have the gateway's.
func (s *scene) hostAddr() string {
	s.Helper()
	prefix := strings.Fields(s.mustRun(s.a, "ip -4 -br address show dev "+s.bridgeOf("net")))[2]
	addr, _, _ := strings.Cut(prefix, "/")
	return addr
}

// fromHostAddr fills in the host's address.
func fromHostAddr(host string, questions []question) []question {
	var all []question
	for _, q := range questions {
		q.want = strings.ReplaceAll(q.want, "HOST", host)
		all = append(all, q)
	}
	return all
}

var portTests = []portTest{
	{
		"no host_ip is both families, and all addresses of the host", "-p 8080:80",
		[]question{
			{"outside", "tcp/" + hostA4 + ":8080", "web:80 from " + outside4},
			{"outside", "tcp/[" + hostA6 + "]:8080", "web:80 from " + outside6},
			{"host-a", "tcp/127.0.0.1:8080", "web:80 from HOST"},
			{"host-a", "tcp/127.0.0.2:8080", "web:80"},
			{"host-a", "tcp/" + hostA4 + ":8080", "web:80"},
			{"host-a", "tcp/" + gateway4 + ":8080", "web:80"},
			{"host-a", "tcp/[" + hostA6 + "]:8080", "web:80"},
			{"host-a", "tcp/[" + gateway6 + "]:8080", "web:80"},
			{"neighbour", "tcp/" + hostA4 + ":8080", "web:80 from HOST"},
			{"neighbour", "tcp/" + gateway4 + ":8080", "web:80 from HOST"},
			{"neighbour", "tcp/[" + hostA6 + "]:8080", "web:80"},
			{"neighbour", "tcp/10.9.0.20:80", "web:80 from 10.9.0.21"},
			{"stranger", "tcp/" + hostA4 + ":8080", "web:80"},
			{"stranger", "tcp/10.88.0.1:8080", "web:80"},
			{"outside", "udp/" + hostA4 + ":8080", noAnswer},
			{"outside", "tcp/" + hostA4 + ":80", noAnswer},
			{"outside", "tcp/" + hostA4 + ":8081", noAnswer},
		},
		[]question{
			{"far@host-b", "tcp/" + hostA4 + ":8080", "web:80 from 198.18.0.12"},
			{"far@host-b", "tcp/[" + hostA6 + "]:8080", "web:80 from fd00:198:18::12"},
			{"far@host-b", "tcp/10.9.0.20:80", "web:80 from 10.9.0.200"},
			{"host-b", "tcp/" + hostA4 + ":8080", "web:80 from 198.18.0.12"},
			// The gateway's address is that of the own host everywhere, and this one publishes
			// nothing.
			{"far@host-b", "tcp/" + gateway4 + ":8080", noAnswer},
			{"host-b", "tcp/127.0.0.1:8080", noAnswer},
		},
	},
	{
		// Podman 5.4 makes no host_ip of it, which is both families; see
		// TestHostIPOfPublishedPorts.
		"0.0.0.0 is IPv4 at least", "-p 0.0.0.0:8080:80",
		[]question{
			{"outside", "tcp/" + hostA4 + ":8080", "web:80 from " + outside4},
			{"host-a", "tcp/127.0.0.1:8080", "web:80"},
			{"neighbour", "tcp/" + hostA4 + ":8080", "web:80"},
		}, nil,
	},
	{
		":: is IPv6 only", "-p [::]:8080:80",
		[]question{
			{"outside", "tcp/[" + hostA6 + "]:8080", "web:80 from " + outside6},
			{"host-a", "tcp/[" + hostA6 + "]:8080", "web:80"},
			{"neighbour", "tcp/[" + hostA6 + "]:8080", "web:80"},
			{"outside", "tcp/" + hostA4 + ":8080", noAnswer},
		}, nil,
	},
	{
		"an IPv4 host_ip is that address only", "-p " + hostA4 + ":8080:80",
		[]question{
			{"outside", "tcp/" + hostA4 + ":8080", "web:80 from " + outside4},
			{"host-a", "tcp/" + hostA4 + ":8080", "web:80"},
			{"neighbour", "tcp/" + hostA4 + ":8080", "web:80 from HOST"},
			{"stranger", "tcp/" + hostA4 + ":8080", "web:80"},
			{"host-a", "tcp/127.0.0.1:8080", noAnswer},
			{"host-a", "tcp/" + gateway4 + ":8080", noAnswer},
			{"outside", "tcp/[" + hostA6 + "]:8080", noAnswer},
		},
		[]question{{"far@host-b", "tcp/" + hostA4 + ":8080", "web:80 from 198.18.0.12"}},
	},
	{
		"an IPv6 host_ip is that address only", "-p [" + hostA6 + "]:8080:80",
		[]question{
			{"outside", "tcp/[" + hostA6 + "]:8080", "web:80 from " + outside6},
			{"neighbour", "tcp/[" + hostA6 + "]:8080", "web:80"},
			{"host-a", "tcp/[" + gateway6 + "]:8080", noAnswer},
			{"outside", "tcp/" + hostA4 + ":8080", noAnswer},
		}, nil,
	},
	{
		"127.0.0.1 is for the host itself", "-p 127.0.0.1:8080:80 -p 127.0.0.1:8080:80/udp",
		[]question{
			{"host-a", "tcp/127.0.0.1:8080", "web:80"},
			{"host-a", "udp/127.0.0.1:8080", "web:80"},
			{"host-a", "tcp/" + hostA4 + ":8080", noAnswer},
			{"outside", "tcp/" + hostA4 + ":8080", noAnswer},
			{"neighbour", "tcp/" + hostA4 + ":8080", noAnswer},
		}, nil,
	},
	{
		"one port, three protocols", "-p 8080:80/tcp -p 8080:80/udp -p 8080:80/sctp",
		threeProtocols(), []question{
			{"far@host-b", "udp/" + hostA4 + ":8080", "web:80 from 198.18.0.12"},
			{"far@host-b", "sctp/" + hostA4 + ":8080", "web:80 from 198.18.0.12"},
		},
	},
	{
		"a range keeps its order", "-p 8000-8009:90-99 -p 8000-8009:90-99/udp",
		[]question{
			{"outside", "tcp/" + hostA4 + ":8000", "web:90 from " + outside4},
			{"outside", "tcp/" + hostA4 + ":8004", "web:94"},
			{"outside", "tcp/[" + hostA6 + "]:8009", "web:99"},
			{"outside", "udp/" + hostA4 + ":8009", "web:99"},
			{"host-a", "tcp/127.0.0.1:8009", "web:99"},
			{"neighbour", "udp/" + hostA4 + ":8001", "web:91 from HOST"},
			{"outside", "tcp/" + hostA4 + ":8010", noAnswer},
			{"outside", "tcp/" + hostA4 + ":7999", noAnswer},
		}, nil,
	},
	{
		"several ports of one container", "-p " + hostA4 + ":8080:80 -p [" + hostA6 + "]:8081:91 -p 8443:92 -p 127.0.0.1:8444:93",
		[]question{
			{"outside", "tcp/" + hostA4 + ":8080", "web:80"},
			{"outside", "tcp/[" + hostA6 + "]:8081", "web:91"},
			{"outside", "tcp/" + hostA4 + ":8443", "web:92"},
			{"outside", "tcp/[" + hostA6 + "]:8443", "web:92"},
			{"host-a", "tcp/127.0.0.1:8444", "web:93"},
			{"outside", "tcp/" + hostA4 + ":8081", noAnswer},
			{"outside", "tcp/" + hostA4 + ":8444", noAnswer},
		}, nil,
	},
	{
		"the same port in the container twice", "-p 8080:80 -p 8081:80",
		[]question{
			{"outside", "tcp/" + hostA4 + ":8080", "web:80"},
			{"outside", "tcp/" + hostA4 + ":8081", "web:80"},
		}, nil,
	},
}

func threeProtocols() []question {
	var all []question
	for _, protocol := range []string{"tcp", "udp", "sctp"} {
		all = append(all,
			question{"outside", protocol + "/" + hostA4 + ":8080", "web:80 from " + outside4},
			question{"outside", protocol + "/[" + hostA6 + "]:8080", "web:80 from " + outside6},
			question{"host-a", protocol + "/" + hostA4 + ":8080", "web:80"},
			question{"host-a", protocol + "/127.0.0.1:8080", "web:80"},
			question{"neighbour", protocol + "/" + hostA4 + ":8080", "web:80 from HOST"},
			question{"stranger", protocol + "/" + hostA4 + ":8080", "web:80"},
		)
	}
	return all
}

func TestPublishedPorts(t *testing.T) {
	t.Parallel()
	onBoth(t, 2, func(s *scene) {
		s.createNetwork("net", fmt.Sprintf("--subnet %s.0/24 --subnet %s:/64", net4, net6))
		s.runPeer(s.a, "neighbour", "--network net:ip=10.9.0.21,ip=fd00:9::21")
		s.runPeer(s.a, "stranger", "--network podman")
		if s.driver == "vxlan" {
			s.runPeer(s.b, "far", "--network net:ip=10.9.0.200,ip=fd00:9::200")
		}
		host := s.hostAddr()
		for _, tt := range portTests {
			s.runSubtest(tt.name, func(s *scene) {
				s.runPeer(s.a, "web", "--network net:"+s.withStaticMAC("ip=10.9.0.20,ip=fd00:9::20 ")+tt.publish, "tcp/90-99", "udp/90-99")
				s.checkAnswers(fromHostAddr(host, s.dropQuestionsOf("stranger", tt.want))...)
				if s.driver == "vxlan" {
					s.checkAnswers(tt.vxlan...)
				}
				s.removeContainers("web")
				s.checkAnswers(closedAnswers(append(tt.want, tt.vxlan...), s.driver)...)
			})
		}
	})
}

// bridgesCloseTheirPorts tells whether a container of one bridge network does not reach what
// another one publishes. It is so in netavark 2.0, whose bridges are strict, and no more in 2.1.
func (s *scene) bridgesCloseTheirPorts() bool {
	s.Helper()
	return s.driver == "bridge" && strings.Contains(s.mustRun(s.a, "/usr/lib/podman/netavark --version"), "netavark 2.0.")
}

// dropStrangers leaves out who is on another network, where that asks in vain.
func (s *scene) dropStrangers(from []string, strangers ...string) []string {
	s.Helper()
	if !s.bridgesCloseTheirPorts() {
		return from
	}
	return slices.DeleteFunc(from, func(f string) bool { return slices.Contains(strangers, f) })
}

// dropQuestionsOf is dropStrangers for questions.
func (s *scene) dropQuestionsOf(stranger string, all []question) []question {
	s.Helper()
	if !s.bridgesCloseTheirPorts() {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(q question) bool { return q.from == stranger })
}

// withStaticMAC completes the options of an address that is used again and again. On vxlan an
// address keeps its MAC. netavark's bridge chooses a new one each time, and neighbours wait seconds
// for their cache to expire.
func (s *scene) withStaticMAC(addresses string) string {
	if s.driver == "bridge" {
		return "mac=02:00:00:00:00:20," + addresses
	}
	return addresses
}

// closedAnswers returns the same questions with no answer expected.
func closedAnswers(questions []question, driver string) []question {
	var all []question
	for _, q := range questions {
		if driver == "vxlan" || (q.from != "far@host-b" && q.from != "host-b") {
			all = append(all, question{q.from, q.to, noAnswer})
		}
	}
	return all
}
