package agenttest

import (
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

const (
	hideUnits = "mkdir -p /tmp/units; mv /usr/local/lib/systemd/system/vxland.* /tmp/units; systemctl daemon-reload; "
	showUnits = "mv /tmp/units/vxland.* /usr/local/lib/systemd/system; systemctl daemon-reload; "
	// agentCgroups prints the control groups of keeper and agent.
	agentCgroups = "for pid in $(pgrep '^vxland'); do cat /proc/$pid/cgroup; done"
)

// startWithoutUnits starts systemd on a host where it does not know the agent's units, and a
// container in a unit of its own.
func startWithoutUnits(t *testing.T) (n node, l *lab.Lab) {
	t.Helper()
	l = startLab(t, 2)
	n = startNode(t, l.Hosts()[0])
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	runWebServer(t, l.Hosts()[1], "cb", "--network net")
	n.mustRun(hideUnits + "systemd-run -q --unit=web --remain-after-exit -p KillMode=control-group -p KillSignal=SIGKILL podman run -d --name ca --network net localhost/web")
	n.succeedsWithin(5*time.Second, resolvesName("ca", "cb.dns.podman"))
	n.mustRun("pgrep -x vxland-keeper")
	return n, l
}

// An agent that the plugin started belongs neither to the container's unit nor to a session: it
// outlives them.
func TestOwnAgentOutlivesUnitThatStartedIt(t *testing.T) {
	t.Parallel()
	a, _ := startWithoutUnits(t)
	if out := a.mustRun(agentCgroups); strings.Contains(out, "web") {
		t.Errorf("control groups of keeper and agent: %s", out)
	}
	pids := a.mustRun("pgrep '^vxland'")
	a.mustRun("systemctl stop web.service")
	if now := a.mustRun("pgrep '^vxland'"); now != pids {
		t.Errorf("processes %s, then %s", pids, now)
	}
	a.mustRun(resolvesName("ca", "cb.dns.podman") + "; ! grep -q independent /run/vxlan/vxland.log")
}

// The same without systemd, where something else kills a control group.
func TestOwnAgentLeavesControlGroups(t *testing.T) {
	l := startLab(t, 2)
	a := l.Hosts()[0]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	labtest.Sh(t, a, "mkdir /sys/fs/cgroup/job; echo $$ >/sys/fs/cgroup/job/cgroup.procs; podman run -d --name ca --network net localhost/web")
	if out := labtest.Sh(t, a, agentCgroups); strings.Contains(out, "job") {
		t.Errorf("control groups of keeper and agent: %s", out)
	}
	labtest.Sh(t, a, "echo 1 >/sys/fs/cgroup/job/cgroup.kill; sleep 0.2; pgrep -x vxland && pgrep -x vxland-keeper")
}

// An agent that the plugin started makes way for systemd's, whose socket it never takes away.
func TestOwnAgentLeavesSocketToSystemd(t *testing.T) {
	t.Parallel()
	a, _ := startWithoutUnits(t)
	a.mustRun(showUnits + "systemctl start vxland.socket")
	a.succeedsWithin(3*time.Second, "systemctl is-active vxland.service && test $(pgrep -cx vxland) = 1 && ! pgrep -x vxland-keeper")
	a.succeedsWithin(2*time.Second, resolvesName("ca", "cb.dns.podman"))
	a.mustRun("grep -q 'leaving this host to systemd' /run/vxlan/vxland.log")

	// Nor does one that somebody starts by hand while systemd's does not run.
	a.mustRun("systemctl stop vxland.service")
	inode := a.mustRun("stat -c %i /run/vxlan/vxland.sock")
	a.mustRun("/usr/local/libexec/vxlan/vxland --keep 2>&1 | grep 'leaving this host to systemd'")
	a.succeedsWithin(3*time.Second, "systemctl is-active vxland.service && test $(pgrep -cx vxland) = 1")
	a.mustRun("podman rm -f -t0 ca; sleep 6")
	a.runContainer("ca2")
	a.succeedsWithin(2*time.Second, resolvesName("ca2", "cb.dns.podman"))
	if now := a.mustRun("stat -c %i /run/vxlan/vxland.sock"); now != inode {
		t.Errorf("systemd's socket was replaced: inode %s, then %s", inode, now)
	}
}

// Where systemd knows the unit, no other agent is started. A socket unit on whose socket nobody
// listens is restarted, and the user is told.
func TestUnreachableSocketUnitIsRestarted(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	a, b := startNode(t, l.Hosts()[0]), l.Hosts()[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	runWebServer(t, b, "cb", "--network net")
	const limited = "printf '[Unit]\nStartLimitIntervalSec=1h\nStartLimitBurst=1\n'"
	for i, breakUnit := range []string{
		"systemctl start vxland.socket; rm /run/vxlan/vxland.sock",
		"mkdir /etc/systemd/system/vxland.service.d; " + limited + ` >/etc/systemd/system/vxland.service.d/limit.conf; systemctl daemon-reload
			systemctl start vxland.service; systemctl stop vxland.service; vxlanctl status >/dev/null 2>&1 || true; sleep 0.5; systemctl is-failed vxland.socket`,
		"mkdir /etc/systemd/system/vxland.socket.d; " + limited + ` >/etc/systemd/system/vxland.socket.d/limit.conf; systemctl daemon-reload
			systemctl start vxland.socket; ! systemctl restart vxland.socket`,
	} {
		a.mustRun("systemctl stop vxland.service vxland.socket; systemctl reset-failed vxland.service vxland.socket || true; " + breakUnit)
		out := a.mustRun("podman run -d --name ca --network net localhost/web")
		if !strings.Contains(out, "vxland.socket was restarted") || strings.Contains(out, "start vxland") {
			t.Errorf("case %d: podman run says %s", i, out)
		}
		a.succeedsWithin(2*time.Second, resolvesName("ca", "cb.dns.podman"))
		a.mustRun("systemctl is-active vxland.socket vxland.service; ! pgrep -x vxland-keeper; podman rm -f -t0 ca")
	}

	// The administrator does not want an agent: then there is none.
	a.mustRun("rm -r /etc/systemd/system/vxland.*.d; systemctl daemon-reload; systemctl stop vxland.service vxland.socket; systemctl mask vxland.socket")
	if out := a.mustRun("podman run -d --name ca --network net localhost/web"); !strings.Contains(out, "is masked") {
		t.Errorf("podman run says %s", out)
	}
	a.mustRun("! pgrep '^vxland'")
}
