package agenttest

import (
	"testing"
	"time"
)

// A process of wireguard-go is a unit of its own, which the agent's unit may start. It does its work within its
// confines, starts anew in place, and is gone with its device.
func TestWireGuardUnit(t *testing.T) {
	t.Parallel()
	l := startLab(t, 1)
	n := startNode(t, l.Hosts()[0])
	const (
		unit   = "vxland-wireguard@wg0-net.service"
		pid    = "$(systemctl show -p MainPID --value " + unit + ")"
		inside = "nsenter -t " + pid + " -m -- "
	)
	if out, err := n.tryScript("test -c /dev/net/tun"); err != nil {
		t.Skip("the lab has no /dev/net/tun", out)
	}

	// What the agent's unit lets the agent do, in its place.
	n.mustRun(`sed -e 's,^ExecStart=.*,ExecStart=/usr/bin/systemctl restart ` + unit + `,' \
		-e 's,^Type=.*,Type=oneshot,; /^Restart/d' \
		/usr/local/lib/systemd/system/vxland.service >/run/systemd/system/try.service
		systemctl daemon-reload; systemctl start try.service`)
	n.mustRun("systemctl is-active " + unit + "; ip -d link show wg0-net | grep 'tun type tun'")
	if got := n.mustRun("stat -c '%a %U %F' /run/wireguard/wg0-net.sock"); got != "600 root socket" {
		t.Errorf("its socket is %s", got)
	}

	// CAP_NET_BIND_SERVICE 10, CAP_NET_ADMIN 12.
	for _, want := range []string{"Seccomp:.2", "NoNewPrivs:.1", "CapBnd:.0000000000001400", "CapEff:.0000000000001400"} {
		n.mustRun("grep -q " + want + " /proc/" + pid + "/status")
	}
	for _, path := range []string{"/etc/x", "/usr/x", "/run/x", "/var/lib/x", "/proc/sys/kernel/panic",
		"/sys/fs/cgroup/cgroup.procs"} {
		n.mustRun("! " + inside + "sh -c 'true >>" + path + "' 2>/dev/null")
	}
	n.mustRun("touch /etc/vxlan/key; ! " + inside + "sh -c 'cat /etc/vxlan/* /var/lib/vxlan/* /run/vxlan/*' 2>/dev/null")

	before := n.mustRun("echo " + pid)
	n.mustRun("kill -HUP " + pid)
	n.succeedsWithin(2*time.Second, "journalctl -u "+unit+" --no-pager | grep -c . && systemctl is-active "+unit)
	if after := n.mustRun("echo " + pid); after != before {
		t.Errorf("process %s, before %s", after, before)
	}
	n.mustRun("ip link set wg0-net up")
	n.succeedsWithin(3*time.Second, "ip link show wg0-net | grep LOWER_UP && ss -uln | grep -v 4789 | grep -q '0.0.0.0:'")

	// Its device stays, and nobody has it.
	n.mustRun("kill -9 " + pid)
	n.succeedsWithin(2*time.Second, "ip link show wg0-net | grep NO-CARRIER")
	n.mustRun("systemctl start try.service; systemctl is-active " + unit + "; ip link show wg0-net | grep LOWER_UP")

	n.mustRun("ip link del wg0-net")
	n.succeedsWithin(3*time.Second, "! systemctl list-units --all | grep vxland-wireguard@")
	n.mustRun("test ! -e /run/wireguard/wg0-net.sock")
	n.mustRun("! journalctl -u " + unit + " --no-pager | grep -iE 'not permitted|permission denied|read-only'")
}
