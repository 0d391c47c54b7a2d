package nft

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"vxlan-driver/internal/kernel"
)

// Root of a user namespace, as in an unprivileged LXC container, may not set the sizes of a socket
// by force.
func TestFirewallAsRootOfUserNamespace(t *testing.T) {
	const inside = "VXLAN_TEST_INSIDE"
	if os.Getenv(inside) == "" {
		again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		again.Env = append(os.Environ(), inside+"=1")
		again.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
		}
		out, err := again.CombinedOutput()
		if _, exited := err.(*exec.ExitError); err != nil && !exited {
			t.Skipf("no user namespaces here: %v", err)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	c, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	apply(t, c, kernel.SetFirewall{Elements: sample})
	if intact, err := c.RulesIntact(); !intact || err != nil {
		t.Errorf("intact: %t, %v", intact, err)
	}
}
