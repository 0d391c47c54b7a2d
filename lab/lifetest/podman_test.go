package lifetest

import (
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// startTwoHosts starts a lab with the network "net", and a container "peer" with the test page on
// host-b.
func startTwoHosts(t *testing.T) (a, b *lab.Host, peer string) {
	t.Helper()
	l := labtest.Start(t, lab.Config{Hosts: 2})
	a, b = l.Host("host-a"), l.Host("host-b")
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	labtest.Sh(t, b, "podman run -d --name peer --network net localhost/web")
	return a, b, labtest.Address(t, b, "peer", "net")
}

// checkNothingLeft fails if anything of the driver is left on a host.
func checkNothingLeft(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	for _, h := range hosts {
		if got := labtest.Leftovers(t, h); got != "" {
			t.Errorf("%s has left\n%s", h.Name(), got)
		}
	}
}

// All containers of a pod share one address on the network, and it stays while members come and go.
func TestPodHasOneAddress(t *testing.T) {
	t.Parallel()
	a, b, peer := startTwoHosts(t)
	labtest.Sh(t, a, `podman pod create --name pod --network net -p 8080:80
		podman run -d --stop-timeout 0 --pod pod --name web localhost/web
		podman run -d --stop-timeout 0 --pod pod --name client localhost/busybox sleep 1000`)
	addr := labtest.Sh(t, a, "podman exec client ip -4 -o address show eth0 | awk '{print $4}' | cut -d/ -f1")
	labtest.Page(t, a, "client", peer)
	labtest.Page(t, b, "peer", addr)
	labtest.Sh(t, a, "podman rm -f -t0 web && podman run -d --stop-timeout 0 --pod pod --name web localhost/web")
	labtest.Page(t, b, "peer", addr)
	labtest.Sh(t, a, "podman pod restart pod")
	labtest.Page(t, a, "client", peer)
	labtest.Sh(t, a, "podman pod rm -f -t0 pod")
	labtest.Sh(t, b, "podman rm -f -t0 peer")
	checkNothingLeft(t, a, b)
}

// A running container is connected to a second network, disconnected from the first, and reloaded:
// each time it reaches exactly the networks that it is on.
func TestConnectDisconnectReload(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 2})
	a, b := l.Host("host-a"), l.Host("host-b")
	labtest.CreateNetwork(t, l, "red", "--opt vni=1 --subnet 10.1.0.0/24")
	labtest.CreateNetwork(t, l, "blue", "--opt vni=2 --subnet 10.2.0.0/24")
	labtest.Sh(t, b, "podman run -d --name red --network red localhost/web; podman run -d --name blue --network blue localhost/web")
	red, blue := labtest.Address(t, b, "red", "red"), labtest.Address(t, b, "blue", "blue")
	labtest.Sh(t, a, "podman run -d --name c --network red:ip=10.1.0.200 localhost/web")
	labtest.Page(t, a, "c", red)
	labtest.Sh(t, a, "podman network connect --ip 10.2.0.200 --alias two blue c")
	labtest.Page(t, a, "c", blue)
	labtest.Page(t, b, "blue", "10.2.0.200")
	labtest.Page(t, b, "red", "10.1.0.200")
	reloads := labtest.ReloadsFixedAddress(t, a)
	for range 2 {
		if reloads {
			labtest.Sh(t, a, "podman network reload c")
		}
		labtest.Page(t, b, "blue", "10.2.0.200")
		labtest.Page(t, a, "c", red)
	}
	// Only the driver can restore the network of a container that keeps running.
	labtest.Sh(t, a, "podman network disconnect red c")
	if out := labtest.Sh(t, a, "podman exec c ip -4 -o address"); strings.Contains(out, "10.1.0.200") || !strings.Contains(out, "10.2.0.200") {
		t.Errorf("after disconnecting red: %s", out)
	}
	if _, err := b.Sh(t.Context(), "podman exec red ping -c1 -W1 10.1.0.200"); err == nil {
		t.Error("c answers on red, from which it was disconnected")
	}
	labtest.Page(t, b, "blue", "10.2.0.200")
	if reloads {
		labtest.Sh(t, a, "podman network reload --all")
	}
	labtest.Sh(t, a, "podman rm -f -t0 c")
	labtest.Sh(t, b, "podman rm -f -t0 red blue")
	checkNothingLeft(t, a, b)
}

// A container that restarts keeps its network, whether stopped cleanly, killed or restarted by its
// own policy.
func TestRestartKeepsContainersReachable(t *testing.T) {
	t.Parallel()
	a, b, peer := startTwoHosts(t)
	labtest.Sh(t, a, "podman run -d --name c --network net:ip=10.0.0.50 -p 8080:80 localhost/web")
	for _, restart := range []string{
		"podman restart -t0 c",
		"podman stop -t0 c && podman start c",
		"podman kill c && podman wait c && podman start c",
		"kill -9 $(podman inspect -f '{{.State.Pid}}' c) && podman wait c && podman start c",
	} {
		labtest.Sh(t, a, restart)
		labtest.Page(t, a, "c", peer)
		labtest.Page(t, b, "peer", "10.0.0.50")
	}
	labtest.Sh(t, a, "podman rm -f -t0 c; podman run -d --restart=always --name again --network net:ip=10.0.0.51 localhost/web")
	labtest.Sh(t, a, "kill -9 $(podman inspect -f '{{.State.Pid}}' again)")
	labtest.Eventually(t, a, "test $(podman inspect -f '{{.RestartCount}}' again) = 1")
	labtest.Page(t, b, "peer", "10.0.0.51")
	labtest.Sh(t, a, "podman rm -f -t0 again")
	labtest.Sh(t, b, "podman rm -f -t0 peer")
	checkNothingLeft(t, a, b)
}

// podman kube play creates the example's pod on the network, and removes it again.
func TestKubePlay(t *testing.T) {
	t.Parallel()
	a, b, peer := startTwoHosts(t)
	shop := labtest.Example(t, "kube/shop.yaml", "docker.io/library/nginx:alpine", "localhost/web",
		"docker.io/library/busybox:stable", "localhost/busybox")
	if err := a.WriteFile("/root/shop.yaml", shop, 0o644); err != nil {
		t.Fatal(err)
	}
	labtest.Sh(t, a, "podman kube play --network net:ip=10.0.0.60 /root/shop.yaml")
	labtest.Page(t, a, "shop-client", peer)
	labtest.Page(t, b, "peer", "10.0.0.60")
	labtest.Sh(t, a, "podman kube play --replace --network net:ip=10.0.0.61 /root/shop.yaml")
	labtest.Page(t, b, "peer", "10.0.0.61")
	labtest.Sh(t, a, "podman kube down /root/shop.yaml")
	labtest.Sh(t, b, "podman rm -f -t0 peer")
	checkNothingLeft(t, a, b)
}
