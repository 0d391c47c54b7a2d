package lifetest

import (
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// The example Compose file works on two hosts, with podman compose and podman-compose.
func TestComposeCreatesNetworkOnTwoHosts(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 2})
	labtest.AsDocumented(t, l)
	for _, command := range []string{"podman-compose", "podman compose"} {
		t.Run(command, func(t *testing.T) {
			addrs := []string{"10.0.0.50", "10.0.0.150"}
			for i, h := range l.Hosts() {
				for name, data := range map[string][]byte{
					"compose.yaml": labtest.Example(t, "compose/compose.yaml"), ".env": []byte("WEB_ADDRESS=" + addrs[i] + "\n"),
				} {
					if err := h.WriteFile("/root/shop/"+name, data, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				labtest.Sh(t, h, "cd /root/shop && "+command+" up -d")
			}
			for _, h := range l.Hosts() {
				for _, addr := range addrs {
					labtest.Page(t, h, "shop_client_1", addr)
				}
			}
			for _, h := range l.Hosts() {
				labtest.Sh(t, h, "cd /root/shop && "+command+" restart -t 0 web")
				labtest.Page(t, h, "shop_client_1", addrs[0])
			}
			for _, h := range l.Hosts() {
				labtest.Sh(t, h, "cd /root/shop && "+command+" down -t 0")
				checkNothingLeft(t, h)
				if out := labtest.Sh(t, h, "podman network ls -q"); out != "podman" {
					t.Errorf("%s has networks %q", h.Name(), out)
				}
			}
		})
	}
}

// The example whose options are labels, by podman-compose, which does not drop any.
func TestComposeTakesOptionsAsLabels(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 2})
	labtest.AsDocumented(t, l)
	for _, h := range l.Hosts() {
		if err := h.WriteFile("/root/shop/compose.yaml", labtest.Example(t, "compose/labels.yaml"), 0o644); err != nil {
			t.Fatal(err)
		}
		labtest.Sh(t, h, "cd /root/shop && podman-compose up -d")
	}
	for _, h := range l.Hosts() {
		labtest.Page(t, h, "shop_client_1", "web")
		labtest.Sh(t, h, "cd /root/shop && podman-compose down -t 0")
		checkNothingLeft(t, h)
	}
}
