package labtest

import (
	"testing"

	"vxlan-driver/lab"
)

// ReloadsFixedAddress tells whether the host's Podman can reload a container that has an address of
// the user's choice. Podman 6.1 takes the address for one that is in use, on its own bridges too,
// as is tried here.
func ReloadsFixedAddress(t testing.TB, h *lab.Host) bool {
	t.Helper()
	Sh(t, h, "podman network create --disable-dns --subnet 10.199.0.0/24 probe; podman run -d --name probe "+
		"--network probe:ip=10.199.0.9 localhost/web")
	out, err := h.Sh(t.Context(), "podman network reload probe 2>&1")
	Sh(t, h, "podman rm -f -t0 probe || true; podman network rm -f -t0 probe") // the failed reload has lost the address
	if err != nil {
		t.Logf("no container with a fixed address is reloaded here: a bridge's is not either: %s", out)
	}
	return err == nil
}
