package etcdtest

import (
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab/labtest"
)

// Hosts exchange the keys of an encrypted network by etcd, and replace them.
func TestEncryptedNetworkByEtcd(t *testing.T) {
	l := startLab(t, 2)
	hosts := l.Hosts()
	a, b := hosts[0], hosts[1]
	for i, h := range hosts {
		labtest.Sh(t, h, create+"-enc --opt encryption=wireguard")
		labtest.Sh(t, h, "podman run -d --name "+[]string{"ca", "cb"}[i]+" --network net-enc localhost/web")
	}
	labtest.Within(t, 10*time.Second, a, "podman exec ca ping -c1 -W1 cb")
	keys := getFromEtcd(l, "--print-value-only --prefix /vxlan/v1/networks/100-4789/hosts/")
	before := labtest.Sh(t, a, keys)
	if got := strings.Count(before, `"wireguard_keys":[{"generation":1,`); got != 2 {
		t.Errorf("etcd has keys of %d hosts: %s", got, before)
	}
	labtest.Sh(t, b, "vxlanctl encryption rotate net-enc")
	labtest.Within(t, 60*time.Second, a, "[ $("+keys+` | grep -c '"wireguard_keys":\[{"generation":2,') = 2 ]`)
	labtest.Sh(t, b, "podman exec cb ping -c1 -W1 ca")
	for _, h := range hosts {
		labtest.Sh(t, h, "podman rm -f -t0 -a")
	}
}
