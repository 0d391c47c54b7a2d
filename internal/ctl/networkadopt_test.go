package ctl

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/config"
)

// adopterHost is a member of a cluster whose other hosts have networks.
type adopterHost struct {
	memberHost
	known      KnownNetworks
	failing    string // a network that podman does not create
	containers int
	keep       bool // the agent is to run
}

func (h *adopterHost) Networks() (KnownNetworks, error)  { return h.known, h.err }
func (h *adopterHost) ContainersWithAgent() (int, error) { return h.containers, nil }
func (h *adopterHost) AgentConfig() (config.Config, error) {
	return config.Config{KeepRunning: h.keep}, nil
}

// CreateNetwork does what podman does: the host has the network, and another one of the name is refused.
func (h *adopterHost) CreateNetwork(args []string, out io.Writer) error {
	name := args[len(args)-1]
	isThere := slices.ContainsFunc(h.known.Here, func(d adopt.Definition) bool { return d.Name == name })
	if name == h.failing || isThere {
		return errors.New("exit status 125")
	}
	for _, d := range h.known.Others {
		if d.Name == name && slices.Contains(args, "vni="+d.Options["vni"]) {
			h.known.Here = append(h.known.Here, d)
			break
		}
	}
	return h.memberHost.CreateNetwork(args, out)
}

// tryAdopt types the command, and returns what it prints, and why it fails.
func tryAdopt(h Host, args string) (out string, err error) {
	var printed bytes.Buffer
	c := Command(h, "1", &printed)
	c.SetErr(io.Discard)
	c.SetArgs(append([]string{"network", "adopt"}, strings.Fields(args)...))
	err = c.Execute()
	return printed.String(), err
}

// isOf makes a definition one of another host, with options in pairs.
func isOf(d adopt.Definition, host string, options ...string) adopt.Definition {
	d.Host = host
	for i := 0; i < len(options); i += 2 {
		d.Options[options[i]] = options[i+1]
	}
	return d
}

func TestAdopt(t *testing.T) {
	known := func() KnownNetworks {
		return KnownNetworks{
			Hosts: 3, Here: []adopt.Definition{definedByA("here", "200"), definedByA("odd", "202"),
				defined("host-c", "own", "203", "10.9.0.0/24"), definedByA("torn-here", "204")},
			Others: []adopt.Definition{
				definedByA("mynet", "100"), definedByA("here", "200"), isOf(definedByA("here", "200"), "host-b",
					"mtu", "1400"), isOf(definedByA("here", "200"), "host-c", "mtu", "1400"),
				isOf(definedByA("odd", "202"), "host-b", "encryption", "wireguard"), definedByA("torn-here", "204"),
				isOf(definedByA("torn-here", "204"), "host-b", "encryption", "wireguard"),
				definedByA("split", "300"), isOf(definedByA("split", "301"), "host-b"), definedByA("local", "400"),
				isOf(definedByA("mixed", "500"), "host-b", "mtu", "1400"), isOf(definedByA("mixed", "500"),
					"host-c", "mtu", "1400"), definedByA("mixed", "500"),
				definedByA("torn", "600"), isOf(definedByA("torn", "600"), "host-b", "encryption", "wireguard"),
				definedByA("taken", "203"), definedByA("alias", "204"),
			},
			Unknown: []string{"host host-d is unreachable"},
		}
	}
	tests := []struct {
		args    string
		code    int
		created []string // by name
		says    []string // parts of the output, and of the error
	}{
		{"mynet", 0, []string{"mynet"}, []string{"warning: not all networks of other hosts are known: host host-d is " +
			"unreachable\n"}},
		{"mynet here mynet", 0, []string{"mynet"}, []string{"network here is there already\n"}},
		{"here", 0, nil, []string{"note: network here differs in mtu: not given here, 1400 on host-b; large packets ",
			"network here is there already\n"}},
		{"torn-here", 0, nil, []string{"network torn-here is there already\n"}},
		{"mixed", 0, []string{"mixed"}, []string{"note: hosts of network mixed differ in mtu: 1400 on host-b, " +
			"host-c; not given on host-a; 1400 is taken here; large packets ", " --opt mtu=1400 "}},
		{"-o mtu=1350 mixed", 0, []string{"mixed"}, []string{" --opt mtu=1350 "}},
		{"-o mtu= mixed", 0, []string{"mixed"}, []string{"physical_interface=auto --subnet"}},
		{"--vni 301 split", 0, []string{"split"}, []string{" vni=301 "}},
		{"--dry-run mynet", 0, nil, []string{adoptedMynet}},
		// What is refused is refused whole.
		{"mynet none", 1, nil, []string{"network none: no other host that answers has it; they have: here, local, " +
			"mixed, mynet, odd, split, taken, torn, torn-here"}},
		{"mynet split", 1, nil, []string{"VNI 300, port 4789, subnets 10.0.0.0/24 on host-a\n  VNI 301, ",
			"pick one: vxlanctl network adopt --vni VNI split"}},
		{"mynet torn", 1, nil, []string{"encryption: off on host-a; wireguard on host-b"}},
		{"mynet odd", 1, nil, []string{"this host has it, and host-b has it otherwise:\n  encryption: off here, " +
			"wireguard on host-b"}},
		{"mynet local", 1, nil, []string{"this host's Podman has a network of this name with the driver bridge",
			"and that of other hosts is a VXLAN network with VNI 400", "--subnet 10.0.0.0/24 OTHER-NAME"}},
		{"mynet taken", 1, nil, []string{"network taken: this host's network own has VNI 203 on port 4789 too; " +
			"subnets: 10.9.0.0/24 here, 10.0.0.0/24 on host-a"}},
		{"alias", 0, nil, []string{
			"note: network alias has the name torn-here on this host\n", "network alias is there already\n",
		}},
		{"--vni 7 split", 1, nil, []string{"no host has it with VNI 7:\n  VNI 300"}},
		{"--vni 301 mynet split", 2, nil, []string{"type that name alone"}},
		{"--vni 301 --all", 2, nil, []string{"type that name alone"}},
		{"-o vni=5 mynet", 2, nil, []string{"option vni must be the same on all hosts"}},
		{"-o =5 mynet", 2, nil, []string{"must be NAME=VALUE"}},
		{"-o mtu=1400 -o mtu=1300 mynet", 2, nil, []string{"--opt mtu is given twice"}},
		// All means all that can be had.
		{"--all", 1, []string{"mixed", "mynet"}, []string{"network split", "network torn", "network local",
			"network odd", "network here is there already"}},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			h := &adopterHost{known: known()}
			out, err := tryAdopt(h, tt.args)
			var created []string
			for _, command := range h.created {
				created = append(created, command[strings.LastIndex(command, " ")+1:])
			}
			if ExitCode(err) != tt.code || !slices.Equal(created, tt.created) {
				t.Errorf("ends with %d, created %q: %v\n%s", ExitCode(err), created, err, out)
			}
			if err != nil {
				out += err.Error()
			}
			for _, want := range tt.says {
				if !strings.Contains(out, want) {
					t.Errorf("says no %q:\n%s", want, out)
				}
			}
		})
	}
}

// What was interrupted is typed again.
func TestAdoptAgain(t *testing.T) {
	h := &adopterHost{
		failing: "red", known: KnownNetworks{Hosts: 1, Others: []adopt.Definition{definedByA("blue", "1"),
			definedByA("green", "2"), definedByA("red", "3")}},
	}
	if _, err := tryAdopt(h, "--all"); ExitCode(err) != 1 || !strings.Contains(err.Error(),
		"adopt network red: podman did not create it: exit status 125") {
		t.Errorf("got %v", err)
	}
	h.failing = ""
	for range 2 {
		out, err := tryAdopt(h, "--all")
		if err != nil || len(h.created) != 3 || !strings.Contains(out, "network blue is there already") {
			t.Errorf("created %d, %v\n%s", len(h.created), err, out)
		}
	}
}

// A host without a container has no agent that could ask others, unless it is a member of a cluster.
func TestAdoptWithoutAgent(t *testing.T) {
	const hint = "so no other host can be asked; `vxlanctl join TOKEN` makes this host a member"
	for _, tt := range []struct {
		host   adopterHost
		err    error
		isHint bool
		want   string
	}{
		{adopterHost{}, agentapi.ErrNotRunning, true, "or give keep_running, key_file and seeds in vxland.toml, and " +
			"type `vxlanctl reload`"},
		{adopterHost{keep: true}, agentapi.ErrNotRunning, false, "adopt network: vxland does not run"},
		{adopterHost{containers: 1}, agentapi.ErrNotRunning, false, "adopt network: vxland does not run"},
		{adopterHost{}, nil, false, "network mynet: this host's agent knows no other host; `vxlanctl join TOKEN`"},
		{adopterHost{known: KnownNetworks{Hosts: 1}}, nil, false, "they have: none"},
	} {
		tt.host.err = tt.err
		_, err := tryAdopt(&tt.host, "mynet")
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), hint) != tt.isHint {
			t.Errorf("%+v: %v", tt.host, err)
		}
	}
	out, err := run(idleHost{fakeHost{err: agentapi.ErrNotRunning}}, "network", "ls")
	if err != nil || !strings.Contains(out, "# networks of other hosts are not known; `vxlanctl join TOKEN`") {
		t.Errorf("%v\n%s", err, out)
	}
}

// idleHost has networks, and no container.
type idleHost struct{ fakeHost }

func (idleHost) Inventory() (agentapi.Inventory, bool, error) { return agentapi.Inventory{}, true, nil }

// The port is shown where it is not the one that all networks have.
func TestPortsOfNetworks(t *testing.T) {
	out, err := run(portHost{}, "network", "ls")
	if err != nil || !strings.Contains(out, "NETWORK  VNI  PORT  STATE     HERE  ELSEWHERE  HOSTS") ||
		!strings.Contains(out, "blue     1    8472  not here  0     0          2") {
		t.Errorf("%v\n%s", err, out)
	}
	// Two of one name each have a row, and a command.
	for _, want := range []string{"vxlanctl network adopt green --vni 2\n",
		"vxlanctl network adopt green --vni 3\n", "network green is set up differently: vni: 2 on host-a, 3 on " +
			"host-b"} {
		if !strings.Contains(out, want) {
			t.Errorf("says no %q:\n%s", want, out)
		}
	}
}

type portHost struct{ emptyHost }

func (portHost) Networks() (KnownNetworks, error) {
	return KnownNetworks{Hosts: 2, Others: []adopt.Definition{
		isOf(definedByA("blue", "1"), "host-a", "vxlan_port", "8472"), isOf(definedByA("blue", "1"), "host-b",
			"vxlan_port", "8472"),
		definedByA("green", "2"), isOf(definedByA("green", "3"), "host-b"),
	}}, nil
}
