package gossiptest

import (
	"context"
	"fmt"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// key is 32 bytes in base64, and no secret.
const key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// startLab starts a lab whose hosts have the same key, and know only the first host.
func startLab(t *testing.T, hosts int) *lab.Lab {
	t.Helper()
	l := labtest.Start(t, lab.Config{Hosts: hosts, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	config := fmt.Sprintf("key_file = \"/etc/vxlan/key\"\nseeds = [%q]\nebpf = %v\n",
		l.Hosts()[0].Addr4().String(), labtest.UsesPrograms())
	for _, h := range l.Hosts() {
		for path, text := range map[string]string{"/etc/vxlan/vxland.toml": config, "/etc/vxlan/key": key + "\n"} {
			if err := h.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, h := range l.Hosts() {
			// The test's context has ended.
			log, err := h.Sh(context.Background(), "cat /run/vxlan/vxland.log; vxlanctl status; cat /run/vxlan/networks/*/peers.json")
			t.Logf("%s: agent:\n%s\n%v", h.Name(), log, err)
		}
	})
	return l
}

// createNetwork creates a network, by the same command on each host.
func createNetwork(t *testing.T, h *lab.Host, name, flags string) {
	t.Helper()
	labtest.Sh(t, h, "podman network create --driver vxlan --opt discovery=gossip --opt local_ip=auto --opt physical_interface=eth0 "+flags+" "+name)
}

// runContainer starts a container that serves HTTP, and returns its address.
func runContainer(t *testing.T, h *lab.Host, name, network, flags string) string {
	t.Helper()
	labtest.Sh(t, h, fmt.Sprintf("podman run -d --name %s --network %s %s localhost/web", name, network, flags))
	return labtest.Address(t, h, name, network)
}

// pingScript is a script that succeeds if the container reaches the name or address.
func pingScript(container, to string) string {
	return fmt.Sprintf("podman exec %s ping -c1 -W1 %s", container, to)
}
