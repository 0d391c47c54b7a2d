package ctl

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/definition"
)

// inEtcd is a network that is defined in etcd, and that hosts have.
func inEtcd(name, vni string, hosts ...string) definition.Listed {
	l := definition.Listed{Definition: adopt.Definition{Name: name,
		Options: map[string]string{"discovery": "etcd", "vni": vni},
		Subnets: []adopt.Subnet{{Prefix: "10.0.0.0/24"}}}}
	for _, h := range hosts {
		l.Hosts = append(l.Hosts, cluster.DefinitionUse{Host: h, Self: h == "self"})
	}
	return l
}

// etcdHost is a host whose agent has an etcd.
type etcdHost struct {
	adopterHost
	inEtcd  []definition.Listed
	etcdErr error
	removed []string
}

func (h *etcdHost) Definitions() ([]definition.Listed, error) { return h.inEtcd, h.etcdErr }

func (h *etcdHost) DefinedNetworks() (all []DefinedNetwork, err error) {
	for _, d := range h.known.Here {
		all = append(all, DefinedNetwork{Name: d.Name, ID: "id-" + d.Name, VNI: d.VNI(), Port: d.Port(), Options: d.Options,
			Subnets: []string{"10.0.0.0/24"}})
	}
	return all, nil
}

func (h *etcdHost) RemoveNetwork(name string) error {
	if i := slices.IndexFunc(h.known.Here, func(d adopt.Definition) bool { return d.Name == name }); i < 0 {
		return errors.New("this host's Podman has no network " + name)
	}
	h.removed = append(h.removed, name)
	return nil
}

// RetireNetwork does what the agent does: others keep a network.
func (h *etcdHost) RetireNetwork(name string) (definition.Retirement, error) {
	l, ok := findDefined(h.inEtcd, name)
	r := definition.Retirement{Defined: ok, Uses: slices.DeleteFunc(slices.Clone(l.Hosts),
		func(u cluster.DefinitionUse) bool { return u.Self })}
	return r, h.etcdErr
}

func newEtcdHost() *etcdHost {
	here := inEtcd("here", "200").Definition
	here.Options["mtu"] = "1400"
	here.Subnets[0].Gateway = "10.0.0.1" // as Podman fills in
	gossip := definedByA("both", "205")
	odd := inEtcd("odd", "201").Definition
	odd.Options["fast_path"] = "false"
	told := inEtcd("mynet", "100").Definition // by a host that is asked by gossip
	told.Host, told.Label = "host-b", "host-b (192.0.2.2)"
	moving := inEtcd("moving", "208").Definition
	moving.Options["discovery"], moving.Options["discovery_also"] = "gossip", "etcd"
	broken := inEtcd("broken", "400")
	broken.Problem = "network broken: this version does not know option color"
	mtu := inEtcd("here", "200", "self", "host-b")
	mtu.Definition.Options["mtu"] = "1400"
	return &etcdHost{
		adopterHost: adopterHost{known: KnownNetworks{Hosts: 1, Here: []adopt.Definition{here, gossip, odd, moving},
			Others: []adopt.Definition{told, definedByA("green", "500")}}},
		inEtcd: []definition.Listed{broken, inEtcd("mynet", "100", "host-b", "host-c"), mtu, inEtcd("odd", "201", "self"),
			inEtcd("both", "206", "host-b"), inEtcd("taken", "205"), inEtcd("unused", "207"),
			inEtcd("moving", "208", "self")},
	}
}

// What etcd defines is adopted by its name alone. What a host has otherwise is shown beside that.
func TestAdoptFromEtcd(t *testing.T) {
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"mynet": {0, "podman network create --driver vxlan --opt discovery=etcd mynet\n"},
		"-o physical_interface=eth1 mynet": {0,
			"podman network create --driver vxlan --opt discovery=etcd --opt physical_interface=eth1 mynet\n"},
		"--ip-range 10.0.0.64/26 mynet": {0, "--opt discovery=etcd --subnet 10.0.0.0/24 --ip-range 10.0.0.64/26 mynet\n"},
		"here":                          {0, "network here is there already\n"},
		"moving":                        {0, "network moving is there already\n"},
		"green":                         {0, "--opt discovery=gossip --opt vni=500 "},
		"odd": {1, "this host has it otherwise than it is defined:\n  fast_path: false here, " +
			"true in etcd"},
		"both": {1, "network both: this host has it, and etcd has it otherwise:\n  vni: 205 " +
			"here, 206 on etcd\n  discovery: gossip"},
		"taken":  {1, "network taken: this host's network both has VNI 205 on port 4789 too"},
		"broken": {1, "network broken: this version does not know option color"},
		"none":   {1, "they have: green; etcd has: broken, mynet, here, odd, both, taken, unused, moving"},
		"--all":  {1, "podman network create --driver vxlan --opt discovery=etcd unused\n"},
	} {
		out, err := tryAdopt(newEtcdHost(), args)
		if err != nil {
			out += err.Error()
		}
		if ExitCode(err) != want.code || !strings.Contains(out, want.says) {
			t.Errorf("%s: ends with %d:\n%s\nwant %s", args, ExitCode(err), out, want.says)
		}
	}
	h := newEtcdHost()
	h.known.Hosts, h.known.Others = 0, nil
	if _, err := tryAdopt(h, "none"); err == nil || !strings.Contains(err.Error(), "network none: it is not defined in "+
		"etcd; etcd has: broken") {
		t.Errorf("without other hosts: %v", err)
	}
	h.etcdErr = errors.New("connection refused")
	if out, err := tryAdopt(h, "mynet"); err != nil || !strings.Contains(out, "connection refused") {
		t.Errorf("got %s, %v", out, err)
	}
}

func TestListShowsEtcd(t *testing.T) {
	h := newEtcdHost()
	out, err := run(h, "network", "ls", "--filter", "state=not here", "--format", "{{.Name}} {{.VNI}} {{.Hosts}}")
	if err != nil || !strings.Contains(out, "mynet 100 2\n") || !strings.Contains(out, "unused 207 0\n") ||
		!strings.Contains(out, "green 500 1\n") || strings.Contains(out, "here 200") {
		t.Errorf("got %s, %v", out, err)
	}
	out, err = run(h, "network", "ls")
	for _, want := range []string{
		"network mynet is defined in etcd, and not here; to create it here: vxlanctl network adopt mynet",
		"network odd is set up differently: fast_path: false here, true in etcd",
		"network broken: this version does not know option color",
	} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("no %q: %v\n%s", want, err, out)
		}
	}
	if strings.Contains(out, "network here is set up") || strings.Contains(out, "mynet is on host-b") {
		t.Errorf("too much:\n%s", out)
	}
	if out, _ := run(h, "network", "ls", "--format", "{{.Name}} {{.Hosts}}"); !strings.Contains(out, "here 1\n") {
		t.Errorf("got %s", out)
	}
	h.etcdErr, h.inEtcd = errors.New("connection refused"), nil
	if out, err := run(h, "network", "ls"); err != nil ||
		!strings.Contains(out, "networks in etcd are not known: connection refused") {
		t.Errorf("without etcd: %s, %v", out, err)
	}
}

func TestRemoveFromEtcd(t *testing.T) {
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"odd": {0, "network odd is removed from this host\nnetwork odd is retired: its name and VNI are free in " +
			"etcd\n"},
		"here": {0, "network here is removed from this host\nnote: network here stays defined in etcd: host " +
			"host-b has it\n"},
		"moving": {0, "network moving is removed from this host\nnetwork moving is retired: its name and VNI are free in " +
			"etcd\n"},
		"both":   {0, "network both is removed from this host\n"},
		"unused": {0, "network unused is retired: its name and VNI are free in etcd\n"},
		"mynet": {1, "remove network mynet: it is in use: host host-b has it, host host-c has it; type the " +
			"command there"},
		"none":          {1, "remove network none: this host's Podman has no network none"},
		"-q odd unused": {0, "odd\nunused\n"},
	} {
		out, err := run(newEtcdHost(), append([]string{"network", "rm"}, strings.Fields(args)...)...)
		if err != nil {
			out += err.Error()
		}
		if ExitCode(err) != want.code || !strings.Contains(out, want.says) {
			t.Errorf("%s: ends with %d:\n%s\nwant %s", args, ExitCode(err), out, want.says)
		}
	}
	h := newEtcdHost()
	h.etcdErr = errors.New("connection refused")
	if _, err := run(h, "network", "rm", "odd"); err == nil || len(h.removed) != 1 ||
		!strings.Contains(err.Error(), "it is removed from this host, and may still be in etcd: connection refused") {
		t.Errorf("got %v", err)
	}
	uses := []cluster.DefinitionUse{{Host: "a"}, {Host: "b", Containers: 1}, {Host: "c", Containers: 3}, {Host: "d"},
		{Host: "e"}, {Host: "f"}, {Host: "g"}}
	if got := usesText(uses); got != "host a has it, host b has a container on it, host c has 3 containers on it, "+
		"host d has it, host e has it, and 2 more" {
		t.Error(got)
	}
}
