package survey_test

import (
	"strings"
	"testing"
)

// agentFault is what happens to the agent of host-b, or to its files. Unless a person has to decide, what
// is printed mends it.
type agentFault struct {
	name, inject, code, says string
	person                   string // script of who has the driver's package, or another name server
	after                    string
}

const (
	agentsProgram = "/usr/local/libexec/vxlan/vxland"
	plugin        = "/usr/local/libexec/netavark/vxlan"
)

var agentFaults = []agentFault{
	{name: "rule of routing for the agents' port", inject: "ip rule add ipproto tcp dport 7947 blackhole; " +
		"ip rule add ipproto udp dport 7947 blackhole", code: "VX0203", says: "leads messages of the agents to host"},
	{name: "agent frozen", inject: "mount -t cgroup2 cgroup2 /sys/fs/cgroup; mkdir /sys/fs/cgroup/doctor-test; " +
		"for p in $(pgrep -x vxland); do echo $p >/sys/fs/cgroup/doctor-test/cgroup.procs; done; " +
		"echo 1 >/sys/fs/cgroup/doctor-test/cgroup.freeze", code: "VX0701", says: "frozen by its control group",
		after: "for p in $(pgrep -x vxland); do echo $p >/sys/fs/cgroup/cgroup.procs; done; " +
			"rmdir /sys/fs/cgroup/doctor-test; umount /sys/fs/cgroup"},
	{name: "agent without descriptors", inject: "for p in $(pgrep -x vxland); do prlimit --pid $p --nofile=10:10; done",
		code: "VX0702", says: "runs and does not answer"},
	{name: "agent's program is damaged", inject: "cp " + agentsProgram + " /tmp/vxland; rm " + agentsProgram + "; echo >" +
		agentsProgram + "; chmod 755 " + agentsProgram + "; kill -9 $(pgrep -x vxland)", code: "VX0104",
		says:   "cannot be executed",
		person: "rm " + agentsProgram + "; cp /tmp/vxland " + agentsProgram + "; vxlanctl reload"},
	{name: "plugin is damaged", inject: "cp " + plugin + " /tmp/vxlan; echo >" + plugin, code: "VX0104",
		says: "netavark cannot execute the plugin", person: "cp /tmp/vxlan " + plugin},
	{name: "name server on the host itself is gone", inject: "echo nameserver 127.0.0.53 >/etc/resolv.conf",
		code: "VX0802", says: "127.0.0.53 does not answer", person: "true >/etc/resolv.conf"},
}

func TestFaultsOfAgent(t *testing.T) {
	needAll(t)
	l := newLAN(t, 2)
	l.startNetwork("net", true)
	l.awaitHealth(t)
	b := l.hosts[1]
	for _, f := range agentFaults {
		t.Run(f.name, func(t *testing.T) {
			b.sh(f.inject)
			found := b.awaitFinding(f.code, "host-b", f.says)
			if len(found.Evidence) == 0 || len(found.Mend) == 0 {
				t.Fatalf("no evidence or no mend: %s", found)
			}
			if f.person == "" {
				b.sh(strings.Join(found.Mend, "\n"))
			} else {
				b.sh(f.person)
			}
			l.awaitHealth(t)
			if f.after != "" {
				b.sh(f.after)
			}
		})
	}
}
