package gossiptest

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// forgetCommand is the command that an error names.
var forgetCommand = regexp.MustCompile("`(vxlanctl host forget [^ `]+)`")

// A host is lost with a container whose address is wanted elsewhere. The error names the command
// that frees it. Typed on any host, it does so on all. If the host is back after all, it is seen
// again, with its other containers.
func testForgottenHostFreesItsAddresses(t *testing.T, p labtest.Plane) {
	t.Parallel()
	l := p.Start(t, lab.Config{Hosts: 3})
	hosts := l.Hosts()
	lost := hosts[2]
	p.CreateOn(t, hosts, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	for i, h := range hosts {
		runContainer(t, h, fmt.Sprint("c", i), "net", "")
	}
	runContainer(t, lost, "old", "net", "--ip 10.0.0.50")
	labtest.Within(t, 2*time.Second, hosts[0], pingScript("c0", "old"))
	if out := labtest.Refused(t, hosts[0], "vxlanctl host forget "+lost.Name()); !strings.Contains(out, "answers, and so is not gone") {
		t.Errorf("a host that answers: %s", out)
	}
	if _, err := l.UnderlayIP(t.Context(), "link", "set", lost.Name(), "down"); err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts[:2] {
		labtest.Within(t, 20*time.Second, h, "vxlanctl host ls | grep '"+lost.Name()+".* unreachable'")
	}
	const start = "podman run -d --name new --network net --ip 10.0.0.50 localhost/web"
	out := labtest.Refused(t, hosts[0], start)
	named := forgetCommand.FindStringSubmatch(out)
	if named == nil {
		t.Fatalf("the error names no command: %s", out)
	}
	if said := labtest.Sh(t, hosts[1], named[1]); !strings.Contains(said, "is forgotten; its addresses are free") {
		t.Errorf("%s says %s", named[1], said)
	}
	// Those that lost it less than two seconds ago wait, in case it is there after all.
	labtest.Within(t, 5*time.Second, hosts[0], "! vxlanctl host ls | grep "+lost.Name())
	labtest.Sh(t, hosts[0], "podman rm -f -t0 new; "+start)
	labtest.Within(t, 2*time.Second, hosts[1], pingScript("c1", "new"))

	labtest.Sh(t, lost, "podman rm -f -t0 old")
	if _, err := l.UnderlayIP(t.Context(), "link", "set", lost.Name(), "up"); err != nil {
		t.Fatal(err)
	}
	for i, h := range hosts[:2] {
		labtest.Within(t, 20*time.Second, h, "vxlanctl host ls | grep '"+lost.Name()+".* reachable'")
		labtest.Within(t, 5*time.Second, h, pingScript(fmt.Sprint("c", i), "c2"))
	}
	if p.Name == labtest.Etcd.Name {
		labtest.Sh(t, lost, "podman rm -f -t0 c2")
		out := labtest.Sh(t, hosts[0], "podman rm -f -t0 c0 new; vxlanctl network rm net")
		if !strings.Contains(out, "host "+lost.Name()+" has it") {
			t.Errorf("a host that was forgotten does not count for a network that it has: %s", out)
		}
	}
}
