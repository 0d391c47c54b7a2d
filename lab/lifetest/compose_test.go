package lifetest

import (
	"fmt"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// composeYAML creates its own network; %s are the hosts' addresses.
const composeYAML = `services:
  web:
    image: localhost/web
    ports: ["8080:80"]
    networks:
      overlay: {ipv4_address: %s}
  client:
    image: localhost/busybox
    command: [sleep, "1000"]
    networks: [overlay]
networks:
  overlay:
    driver: vxlan
    driver_opts:
      vni: "100"
      local_ip: auto
      remote_ips: %s
      physical_interface: eth0
    ipam:
      config: [{subnet: 10.0.0.0/24}]
`

// The same Compose file works on two hosts, with podman compose and podman-compose.
func TestComposeCreatesNetworkOnTwoHosts(t *testing.T) {
	l := labtest.Start(t, lab.Config{Hosts: 2})
	for _, command := range []string{"podman-compose", "podman compose"} {
		t.Run(command, func(t *testing.T) {
			addrs := []string{"10.0.0.50", "10.0.0.150"}
			for i, h := range l.Hosts() {
				file := fmt.Sprintf(composeYAML, addrs[i], labtest.VTEPs(l))
				if err := h.WriteFile("/root/shop/compose.yaml", []byte(file), 0o644); err != nil {
					t.Fatal(err)
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
