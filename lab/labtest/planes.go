package labtest

import (
	"context"
	"fmt"
	"os"
	"testing"

	"vxlan-driver/lab"
)

// Plane is one of the ways by which the hosts of a lab hear of each other's containers.
type Plane struct {
	// Name is what `podman network create` is told as the option discovery.
	Name string
	// start is what is done before the first network is created.
	start func(testing.TB, *lab.Lab)
}

var (
	// Static has lists of hosts. Their agents exchange names by gossip.
	Static = Plane{Name: "static", start: func(testing.TB, *lab.Lab) {}}
	// Gossip has hosts with one key, which know only the first.
	Gossip = Plane{Name: "gossip", start: configureGossip}
	// Etcd has hosts whose server is outside.
	Etcd = Plane{Name: "etcd", start: configureEtcd}
)

// clusterKey is 32 bytes in base64, and no secret.
const clusterKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func configureGossip(t testing.TB, l *lab.Lab) {
	t.Helper()
	config := fmt.Sprintf("key_file = \"/etc/vxlan/key\"\nseeds = [%q]\nebpf = %v\n",
		l.Hosts()[0].Addr4().String(), UsesPrograms())
	for _, h := range l.Hosts() {
		for path, text := range map[string]string{"/etc/vxlan/vxland.toml": config, "/etc/vxlan/key": clusterKey + "\n"} {
			if err := h.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func configureEtcd(t testing.TB, l *lab.Lab) {
	t.Helper()
	e := StartEtcd(t, l.Host("outside"))
	for _, h := range l.Hosts() {
		e.Configure(h, "lease = \"5s\"\n")
	}
}

// Start starts a lab whose hosts are configured for the plane. After a failure it shows what agents say.
func (p Plane) Start(t testing.TB, config lab.Config) *lab.Lab {
	t.Helper()
	config.Binaries = append(config.Binaries, Binary(t, "vxlanctl"))
	if p.Name == "etcd" {
		config.Outside, config.Binaries = true, append(config.Binaries, EtcdPrograms(t)...)
	}
	l := Start(t, config)
	p.start(t, l)
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, h := range l.Hosts() {
			// The test's context has ended.
			log, err := h.Sh(context.Background(), "cat /run/vxlan/vxland.log; vxlanctl status; "+
				"cat /run/vxlan/networks/*/peers.json")
			t.Logf("%s: agent:\n%s\n%v", h.Name(), log, err)
		}
	})
	return l
}

// CreateOn types the command that makes a network on each of the hosts.
func (p Plane) CreateOn(t testing.TB, hosts []*lab.Host, name, flags string) {
	t.Helper()
	if p.Name == "static" {
		CreateOn(t, hosts, name, flags)
		return
	}
	for _, h := range hosts {
		Sh(t, h, fmt.Sprintf("podman network create --driver vxlan --opt discovery=%s --opt local_ip=auto "+
			"--opt physical_interface=eth0 %s %s", p.Name, flags, name))
	}
}

// PlaneCase is a test that holds for several planes.
type PlaneCase struct {
	Name string
	Test func(*testing.T, Plane)
	// Always are the planes with which it runs in `make test`, Also those with which it runs in `make planes`.
	Always, Also []Plane
}

// RunPlanes runs tests with all planes that they are for.
func RunPlanes(t *testing.T, cases []PlaneCase) {
	t.Helper()
	for _, c := range cases {
		planes := c.Always
		if os.Getenv("PLANES") == "all" {
			planes = append(planes[:len(planes):len(planes)], c.Also...)
		}
		for _, p := range planes {
			t.Run(c.Name+"/"+p.Name, func(t *testing.T) { c.Test(t, p) })
		}
	}
}
