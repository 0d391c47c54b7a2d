package survey

import (
	"encoding/json"
	"slices"
	"testing"

	"vxlan-driver/internal/doctor"
)

// What podman inspect of Podman 5.4 prints of containers, in part.
func TestAddContainers(t *testing.T) {
	const text = `[
	{"Name": "plain", "Config": {"CreateCommand": ["podman", "run", "--network", "net", "x"]}, "NetworkSettings": {"Networks": {"net": {}}}},
	{"Name": "fixed", "Config": {"CreateCommand": ["podman", "run", "--ip", "10.0.0.9", "x"]}, "NetworkSettings": {"Networks": {"net": {}}}},
	{"Name": "short", "Config": {"CreateCommand": ["podman", "run", "--network=net:ip=10.0.0.8", "x"]}, "NetworkSettings": {"Networks": {"net": {}, "other": {}}}},
	{"Name": "later", "Config": {"CreateCommand": ["podman", "run", "--network", "net:alias=a,ip=10.0.0.8", "x"]}, "NetworkSettings": {"Networks": {"net": {}}}},
	{"Name": "by the API", "Config": {}, "NetworkSettings": {}}]`
	var all []inspected
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	var h doctor.UpgradeHost
	AddContainers(&h, all)
	if !slices.Equal(h.Fixed, []string{"fixed", "short", "later"}) || !slices.Equal(h.Several, []string{"short"}) {
		t.Errorf("%+v", h)
	}
}
