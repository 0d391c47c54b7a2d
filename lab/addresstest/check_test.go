package addresstest

import (
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/lab/labtest"
)

// The error names the host that has the address. Inside the host's own slice, where no other host
// assigns addresses, the check is made only on request.
func TestAddressInUseOnAnotherHostIsRefused(t *testing.T) {
	l := startLab(t, 3)
	a, b, c := l.Hosts()[0], l.Hosts()[1], l.Hosts()[2]
	labtest.CreateOn(t, l.Hosts(), "net", "--opt vni=9 "+dual)
	runContainer(t, a, "other", "--network net")
	runContainer(t, c, "other", "--network net")
	runContainer(t, b, "holder", "--network net --ip 10.1.0.77 --ip6 fd00:1::4000:0:0:7777")
	mac := labtest.Field(t, b, "holder", "net", "MacAddress")
	for _, flags := range []string{"--ip 10.1.0.77", "--ip6 fd00:1::4000:0:0:7777"} {
		got := labtest.Refused(t, a, "podman run --rm --network net "+flags+" localhost/busybox true")
		for _, want := range []string{strings.Fields(flags)[1], "is in use", mac, "host 198.18.0.12"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: refused without %q: %s", flags, want, got)
			}
		}
	}
	// It also works for the first container of the host, which has no devices yet.
	labtest.Sh(t, c, "podman rm -f -t0 other")
	if got := labtest.Refused(t, c, "podman run --rm --network net --ip 10.1.0.77 localhost/busybox true"); !strings.Contains(got, mac) {
		t.Errorf("as first container: refused with %s", got)
	}
	if got := labtest.Leftovers(t, c); got != "" {
		t.Errorf("a refused start left %s", got)
	}
	// A free address works, and so does the one in use once its container is gone.
	runContainer(t, a, "free", "--network net --ip 10.1.0.78")
	labtest.Sh(t, b, "podman rm -f -t0 holder")
	runContainer(t, a, "heir", "--network net --ip 10.1.0.77")
}

func TestAddressCheckOptionProbesEveryAddress(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	for i, check := range []string{"false", "true"} {
		net := "check-" + check
		labtest.CreateOn(t, l.Hosts(), net, fmt.Sprintf("--opt vni=%d --opt address_check=%s --subnet 10.%d.0.0/24", i+1, check, i+1))
		// A container on host-b takes an address of host-a's slice while host-a has not assigned
		// it.
		addr := fmt.Sprintf("10.%d.0.9", i+1)
		runContainer(t, b, net, "--network "+net+" --ip "+addr)
		script := "podman run --rm --network " + net + " --ip " + addr + " localhost/busybox true"
		if check == "false" {
			labtest.Sh(t, a, script)
			continue
		}
		if got := labtest.Refused(t, a, script); !strings.Contains(got, "host 198.18.0.12") {
			t.Errorf("refused with %s", got)
		}
	}
}
